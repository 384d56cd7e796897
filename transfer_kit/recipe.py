"""Recipe: everything that one training needs, as a validated YAML. Knows no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.freeze_forms import Freeze, parse_freeze
from transfer_kit.settings import (
    AdaptationSettings,
    AugmentSettings,
    AuxiliarySettings,
    CodecSettings,
    EvaluationSettings,
    NetworkSettings,
    PatchSettings,
    Positive,
    Settings,
    StainSettings,
    TrainSettings,
)
from transfer_kit.yaml_faults import explain_faults, line_of, parse_yaml


def _base_name(value: str) -> str:
    return "none" if value.strip().lower() in ("", "none", "null") else value


class Recipe(Settings):
    """One training, whole: the command line only fills in its fields.

    Example:
        >>> Recipe(base="breast", target="eye", freeze=2).train.steps
        300
    """

    name: str = Field(
        "everyday",
        description="What the recipe is called; detectors trained from scratch start with this "
        "name",
    )
    description: str = Field("", description="For people")
    pair: str | None = Field(
        None,
        description="A pair's name or file, which says base, target, auxiliary sources and their "
        "tables where the recipe does not",
    )
    base: Annotated[str, AfterValidator(_base_name)] = Field(
        "none",
        description="An organ, a model name, a file, auto for the one that `rank` puts first, or "
        "none to start from scratch",
    )
    target: str = Field(description="An organ, a dataset name or a folder; several joined by ' + '")
    labels: str = Field(
        "100%", description="How much of the target's labels: '20%', '5' images or '3 cases'"
    )
    validation_share: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="Share of a number of labelled images that judges and does not train; by "
        "default none of fewer than 8, else in proportion of the splits; 0 trains on all",
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        0, description="Of subsets, crops, augmentation, dropout and fresh weights"
    )
    freeze: Annotated[Freeze, BeforeValidator(parse_freeze)] = Field(
        0,
        description="Blocks frozen: a count from the input (2 is the input and first down block), "
        "names with globs ([input, 'down*']), or what is frozen from each step on "
        "({0: 8, 500: 4, 1000: 0})",
    )
    mpp: Positive | None = Field(
        None, description="µm per pixel of the training; the base's, or the target's from scratch"
    )
    classes: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("",), description="Classes of nuclei to tell apart, as annotated; [''] is one for all"
    )
    network: NetworkSettings = NetworkSettings()
    codec: CodecSettings = CodecSettings()
    patches: PatchSettings = PatchSettings()
    augment: AugmentSettings = AugmentSettings()
    stain: StainSettings = StainSettings()
    auxiliary: AuxiliarySettings = AuxiliarySettings()
    train: TrainSettings = TrainSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    adaptation: AdaptationSettings = AdaptationSettings()

    @model_validator(mode="before")
    @classmethod
    def _target_of_the_pair(cls, fields: Any) -> Any:
        """A recipe that names a pair need not name the target."""
        if isinstance(fields, dict) and fields.get("pair") and "target" not in fields:
            return {**fields, "target": ""}
        return fields

    @property
    def starts_from_weights(self) -> bool:
        """Whether anything is there that freezing could keep: a base, or pretrained weights."""
        return self.base != "none" or self.network.pretrained is not None

    @classmethod
    def read(cls, path: str | Path, **fields: Any) -> Recipe:
        """A recipe file, with `fields` (dotted names for nested ones) laid over it.

        Raises:
            UserError: the file is missing, is no YAML, or has faults: all are told at once, each
                with its line.
        """
        path = Path(path)
        document = parse_yaml(path)
        for name, value in fields.items():
            _lay_over(document, name, value)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise UserError(explain_faults(error, cls, path, line_of(path))) from None

    def replaced(self, **fields: Any) -> Recipe:
        """This recipe with `fields` (dotted names for nested ones) replaced, validated again.

        Raises:
            UserError: a field does not exist or its value does not fit.
        """
        document = self.model_dump(exclude_unset=True)
        for name, value in fields.items():
            _lay_over(document, name, value)
        try:
            return type(self).model_validate(document)
        except ValidationError as error:
            raise UserError(explain_faults(error, type(self), None, {})) from None

    def write(self, path: str | Path) -> None:
        """Write the recipe as YAML that `read` gives back unchanged."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def parse_setting(text: str) -> tuple[str, Any]:
    """`train.steps=500` as a field and its value, read as YAML.

    Raises:
        UserError: there is no `=`, or the value is no YAML.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"--set {text!r} has no value; write it as --set train.steps=500.")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(
            f"The value of --set {text!r} cannot be read ({str(error).splitlines()[0]}); "
            "write numbers, words or [lists]."
        ) from None


def _lay_over(document: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        inner = document.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UserError(f"{name} does not exist: {part} has no fields of its own.")
        document = inner
    document[last] = value
