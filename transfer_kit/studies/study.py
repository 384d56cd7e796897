"""Study: one question put to many recipes, as a validated YAML. Knows no torch."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from transfer_kit.errors import nearest_hint
from transfer_kit.settings import Settings
from transfer_kit.yaml_model import YamlModel

Fields = dict[str, Any]
"""Fields of a recipe by their dotted names, and their values."""

Axis = list[Any] | dict[str, Fields]
"""Values of one field, or named variants that are several fields each."""

Place = dict[str, Any]
"""Values of some axes: which trials are meant. A list means any of its values."""

Column = Literal["base", "recalibrated", "trained"]

KINDS = (
    "compare",
    "heat_map",
    "learning_curve",
    "line",
    "scatter",
    "steps",
    "base_choice",
    "rank_order",
)
BESIDE_AXES = ("column", "tested_on")
"""What places and figures may name beside the axes: see `transfer_kit.studies.rows`."""

_RANGE = re.compile(r"^(\d+)\.\.(\d+)$")


def _spread_ranges(value: Any) -> Any:
    """`["0..3", 9]` as `[0, 1, 2, 3, 9]`; anything else as it is."""
    if not isinstance(value, list):
        return value
    spread: list[Any] = []
    for one in value:
        ends = _RANGE.match(one) if isinstance(one, str) else None
        spread += range(int(ends[1]), int(ends[2]) + 1) if ends else [one]
    return spread


class TrainedBase(Settings):
    """A base that the study trains itself, before its trials."""

    recipe: str = Field(description="A recipe's name or file")
    set: Fields = Field({}, description="Laid over it")
    snapshots: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (),
        description="Steps at which the base is kept, as NAME@STEPS; each goes on from the one "
        "before, so that they cost no more than the last",
    )


class MadeData(Settings):
    """A dataset that the study makes of another; its test images stay as they are."""

    of: str = Field(description="A dataset")
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="Of the area of each training and validation image that is labelled, in "
        "squares at random places",
    )
    outside: Literal["unknown", "background"] = Field(
        "unknown",
        description="unknown: the squares are labelled regions; background: all else is taken to "
        "be without nuclei",
    )
    count: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Training images that are kept, those that `suggest` proposes; null: all"
    )
    base: str | None = Field(None, description="For which detector `suggest` proposes them")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the squares, and of `suggest`")

    @model_validator(mode="after")
    def _count_for_a_base(self) -> MadeData:
        if (self.count is None) != (self.base is None):
            raise ValueError("count and base should be said together, or neither")
        return self


class Claim(Settings):
    """Two places whose F1 is compared, paired over all other axes."""

    say: str = Field(description="What is compared with what, in words")
    of: Place
    against: Place
    each: str | None = Field(
        None, description="An axis: the comparison is made for each of its values, in place of one"
    )


class Summary(Settings):
    """The figure, and what its axes show."""

    kind: str = Field(description=f"One of {', '.join(KINDS)}")
    x: str = Field(description="The axis across")
    by: str | None = Field(None, description="The axis that has a line, colour or row a value")
    panels: str | None = Field(None, description="The axis that has a panel a value")
    log: bool = Field(False, description="Whether x is drawn on a logarithmic scale")
    label: str = Field("", description="What is written along x")
    select: Place = Field({}, description="Only these rows are drawn")

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"should be one of {', '.join(KINDS)}")
        return kind

    @property
    def axes(self) -> tuple[str, ...]:
        """Those that are named."""
        return tuple(name for name in (self.x, self.by, self.panels) if name)


class Study(YamlModel):
    """Many recipes that differ along axes, and what is to be learned from them.

    Example:
        >>> study = Study.of_fields({
        ...     "question": "How many blocks?", "set": {"target": "eye", "base": "breast"},
        ...     "vary": {"freeze": ["0..3"], "seed": [0, 1]},
        ...     "summary": {"kind": "line", "x": "freeze"},
        ... })
        >>> study.axes["freeze"]
        ('0', '1', '2', '3')
    """

    question: str = Field(description="What the study answers")
    recipe: str = Field("everyday/finetune", description="What all trials start from")
    set: Fields = Field(
        {},
        description="Laid over the recipe in every trial. Here and in variants, {axis} in a text "
        "is the trial's value on that axis, and `recipe` starts from another one",
    )
    bases: dict[str, TrainedBase] = Field({}, description="Bases that are trained first, by name")
    data: dict[str, MadeData] = Field({}, description="Datasets made of others, by name")
    vary: dict[str, Annotated[Axis, BeforeValidator(_spread_ranges)]] = Field(
        description="Axes: a field with its values ('0..9' is a range), or a name with variants; "
        "every combination is a trial"
    )
    leave_out: tuple[Place, ...] = Field((), description="Combinations that are no trial")
    columns: tuple[Column, ...] = Field(
        ("trained",), description="What is measured on the target's test images"
    )
    test_also: tuple[str, ...] = Field(
        (), description="Datasets on whose test images, too, what was trained is measured"
    )
    forgetting: bool = Field(
        False, description="Whether the base's held-out cases are measured before and after"
    )
    promise: bool = Field(
        False, description="Whether `rank` scores the base on the trial's labelled images"
    )
    summary: Summary
    finding: tuple[Claim, ...] = Field((), description="Comparisons that the sentence tells")
    notes: str = Field("", description="Below the table: what was found, and what it is not")

    @property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """The values of each axis as people read them."""
        return {name: tuple(labelled(values)) for name, values in self.vary.items()}

    @field_validator("vary")
    @classmethod
    def _with_values(cls, vary: dict[str, Axis]) -> dict[str, Axis]:
        for name, values in vary.items():
            if not values:
                raise ValueError(f"{name} should have at least one value")
            labels = [label_of(value) for value in values]
            if len(set(labels)) < len(labels):
                twice = next(label for label in labels if labels.count(label) > 1)
                raise ValueError(f"{name} should have {twice} once")
        return vary

    @field_validator("bases")
    @classmethod
    def _plain_names(cls, bases: dict[str, TrainedBase]) -> dict[str, TrainedBase]:
        for name in bases:
            if not re.fullmatch(r"[\w][\w.+-]*", name):
                raise ValueError(f"{name!r} should be a plain name: letters, digits, dots, dashes")
        return bases

    @field_validator("summary")
    @classmethod
    def _of_axes(cls, summary: Summary, info: ValidationInfo) -> Summary:
        known = (*info.data.get("vary", {}), *BESIDE_AXES)
        for name in summary.axes:
            if info.data.get("vary") and name not in known:
                raise ValueError(
                    f"{name!r} should be an axis ({nearest_hint(name, known).rstrip('.')})"
                )
        return summary

    @model_validator(mode="after")
    def _places_exist(self) -> Study:
        for place in self.leave_out:
            self._refuse_unknown(place, "leave_out")
        for claim in self.finding:
            self._refuse_unknown(claim.of, "finding")
            self._refuse_unknown(claim.against, "finding")
            if claim.each is not None and claim.each not in self.axes:
                hint = nearest_hint(claim.each, self.axes)
                raise ValueError(f"finding: each should be an axis, not {claim.each!r} ({hint})")
        return self

    def _refuse_unknown(self, place: Place, where: str) -> None:
        axes = self.axes
        for name, wanted in place.items():
            if name in BESIDE_AXES:
                continue
            if name not in axes:
                hint = nearest_hint(name, (*axes, *BESIDE_AXES))
                raise ValueError(f"{where}: there is no axis {name!r} ({hint.rstrip('.')})")
            for value in values_of(wanted):
                if value not in axes[name]:
                    hint = nearest_hint(value, axes[name])
                    raise ValueError(f"{where}: {name} has no value {value!r} ({hint.rstrip('.')})")


def label_of(value: Any) -> str:
    """A value as people read it, and as trials are named.

    Example:
        >>> label_of(0.5), label_of(None), label_of(["input", "down*"]), label_of({0: 8, 50: 0})
        ('0.5', 'null', 'input,down*', '0:8,50:0')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(label_of(each) for each in value)
    if isinstance(value, dict):
        return ",".join(f"{key}:{label_of(each)}" for key, each in value.items())
    return str(value)


def values_of(wanted: Any) -> tuple[str, ...]:
    """The values that a place allows of one axis; ranges are spread."""
    several = _spread_ranges(wanted) if isinstance(wanted, list) else [wanted]
    return tuple(label_of(each) for each in several)


def labelled(values: Axis) -> dict[str, Any]:
    """The values of an axis by their labels; of variants, their fields."""
    if isinstance(values, dict):
        return {label_of(name): fields for name, fields in values.items()}
    return {label_of(value): value for value in values}
