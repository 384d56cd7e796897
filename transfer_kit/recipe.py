"""Recipe: everything that one training needs, as a validated YAML. Knows no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.freeze_forms import Freeze, parse_freeze
from transfer_kit.yaml_faults import explain_faults, line_of, parse_yaml

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
StainEstimation = Literal["macenko", "vahadane", "staintools-macenko", "staintools-vahadane"]
    """Base of every part of a recipe: unknown fields fail, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class NetworkSettings(Settings):
    """Which network, and the numbers its builder takes (see `transfer_kit.networks`)."""

    name: str = Field("micronet", description="The network; with a base, the base's")
    options: dict[str, Any] = Field(
        default_factory=lambda: {"width": 16},
        description="What its builder takes, such as the width of its first block",
    )
    pretrained: str | None = Field(
        None,
        description="What a network without a base starts with: a weights file, `imagenet` or "
        "`coco`",
    )


class CodecSettings(Settings):
    """Which codec, and its numbers in µm (see `transfer_kit.codecs`)."""

    name: str = Field(
        "proximity",
        description="How labels become maps and maps nuclei; with a base, the base's unless named",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Its numbers, lengths in µm")


class PatchSettings(Settings):
    """Crops that the network is trained on."""

    size_px: Annotated[int, Field(ge=32, le=4096)] = Field(
        200, description="Side of a square crop, in pixels at the training mpp"
    )
    per_image: Annotated[int, Field(ge=1)] = Field(
        4, description="Crops drawn from each image per pass (paper 002: four)"
    )
    grid_stride_px: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Crops lie on a grid of this stride (paper 000: 17); null draws random places, "
        "in the labelled regions where there are any",
    )
    nucleus_fraction: Fraction = Field(
        0,
        description="Share of the crops that are placed around a nucleus, for images where most "
        "places hold none, as of mitoses",
    )


class AugmentSettings(Settings):
    """Random changes of a crop; points, masks and regions move along.

    The fields are those of `transfer_kit.data.augment.Augmentation`, which explains each.
    """

    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 180
    quarter_turns: bool = False
    mirror: bool = True
    shift_um: NotNegative = 0
    scale: tuple[Positive, Positive] = (0.9, 1.1)
    elastic_alpha_um: NotNegative = 0.5
    elastic_sigma_um: Positive = 6
    blur_sigma_um: NotNegative = 0.3
    jpeg_quality: tuple[int, int] | None = (50, 95)
    hed_jitter: Fraction = 0.15
    hed_offset: Fraction = 0.02
    brightness: Fraction = 0.1
    contrast: Fraction = 0.1
    noise: Fraction = 0
    colour_probability: Fraction = 0.5


class StainSettings(Settings):
    """How the stain of crops varies, beside `augment.hed_jitter`, and to which images are brought.

    See `transfer_kit.data.stain`.
    """

    augment: Literal["none", "jitter", "randstainna", "hestain"] = Field(
        "none",
        description="jitter varies the concentrations and colours of each image's own two dyes (as "
        "staintools' augmentor); randstainna normalises each crop to a virtual image, drawn from "
        "how images vary; hestain shows it by one of albumentations' matrices of H&E",
    )
    probability: Fraction = Field(0.5, description="The chance of a crop to be augmented so")
    factor: Fraction = Field(
        0.2, description="jitter, hestain: each dye's concentrations are multiplied by 1 ± this"
    )
    offset: Fraction = Field(
        0.2, description="jitter, hestain: and this ± is added, in natural optical density"
    )
    hue_degrees: Annotated[float, Field(ge=0, le=45)] = Field(
        3.0, description="jitter: each stain vector turns by up to this angle"
    )
    background: bool = Field(
        True, description="jitter, hestain: whether glass changes as tissue does"
    )
    estimate: StainEstimation = Field(
        "macenko",
        description="jitter: how the dyes of an image are found; staintools-… by that library "
        "(extra [staintools])",
    )
    space: Literal["lab", "hsv", "hed"] = Field(
        "lab", description="randstainna: the colour space of the statistics"
    )
    spread: NotNegative = Field(
        1.0, description="randstainna: factor on how much the statistics vary"
    )
    sources: tuple[str, ...] = Field(
        (),
        description="randstainna: organs or datasets whose training images tell how images vary, "
        "beside those of the training itself",
    )
    normalise: Literal["none", "reinhard"] | StainEstimation = Field(
        "none",
        description="Bring all images to the reference's stain, in training and ever after; with a "
        "base, the base's unless named",
    )
    reference: str = Field(
        "base", description="What they are brought to: base (its card's), a name, or an image file"
    )
    luminosity: bool = Field(
        False, description="Whether the glass of all images is made white before"
    )


class OptimizerSettings(Settings):
    """What moves the weights."""

    name: Literal["adamw", "adam", "sgd"] = Field("adamw", description="The optimizer")
    learning_rate: Positive = Field(2e-3, description="Highest learning rate of the schedule")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="Of sgd")
    nesterov: bool = Field(True, description="Whether sgd's momentum is Nesterov's (paper 002)")
    weight_decay: NotNegative = Field(1e-4, description="Pull of the weights towards zero")
    block_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="Factor on the learning rate with each block from the last towards the input; "
        "1 is one rate for all",
    )


class ScheduleSettings(Settings):
    """How the learning rate moves."""

    name: Literal["one_cycle", "plateau", "decay", "constant"] = Field(
        "one_cycle",
        description="one_cycle warms up and anneals to nothing over all steps; plateau divides by "
        "ten while validation F1, or AJI of whole nuclei, does not rise (paper 002); decay "
        "multiplies by a factor at regular steps (papers 000 and 003)",
    )
    warm_up: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15, description="Part of one_cycle that warms up"
    )
    patience_steps: Annotated[int, Field(ge=1)] = Field(
        10_000, description="Steps that plateau waits"
    )
    stop_below: NotNegative = Field(
        1e-4, description="Learning rate at which plateau ends the training"
    )
    decay_every: Annotated[int, Field(ge=1)] = Field(
        10_000, description="Steps between the multiplications of decay"
    )
    decay_factor: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="What decay multiplies by"
    )


class AdapterSettings(Settings):
    """Low-rank adapters beside frozen weights, merged into them at the end (LoRA)."""

    rank: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Rank of the adapters of convolutions and linear layers, the only things that "
        "learn then; 0 is no adapters (others need a base and the extra [adapters])",
    )
    alpha: Positive = Field(16.0, description="What an adapter adds is multiplied by alpha / rank")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of an adapter's inputs that each step leaves out"
    )
    norms: bool = Field(
        False, description="Whether normalisations learn too, and follow train.batch_norm"
    )
    last_block: bool = Field(True, description="Whether the last block learns whole, too")


class TrainSettings(Settings):
    """The loop."""

    steps: Annotated[int, Field(ge=1)] = Field(300, description="Steps of the optimizer")
    batch_size: Annotated[int, Field(ge=1)] = Field(4, description="Crops in a step")
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    validate_every: Annotated[int, Field(ge=1)] = Field(
        50,
        description="Steps between validations; the best weights by validation F1, or AJI of "
        "whole nuclei, are kept",
    )
    early_stopping_steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Stop after this many steps without a better validation F1, or AJI"
    )
    gradient_clip: Positive | None = Field(1.0, description="Largest norm of the gradient")
    batch_norm: Literal["train", "frozen", "recalibrate"] = Field(
        "train",
        description="Whether the statistics of batch norms of blocks that learn follow the crops, "
        "stay the base's, or are recomputed on the training images before the training and stay "
        "so (frozen and recalibrate need a base)",
    )
    l2_sp: NotNegative = Field(
        0.0,
        description="Pull of the weights towards the base's, in place of weight decay: the loss "
        "gets l2_sp / 2 times their squared distance (needs a base)",
    )
    adapter: AdapterSettings = AdapterSettings()
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = Field(
        "auto", description="auto: bf16-mixed on GPUs that have it, 16-mixed on others, 32 on CPU"
    )
    workers: Annotated[int, Field(ge=0)] = Field(
        0, description="Processes that draw crops; 0 draws them between steps"
    )


class EvaluationSettings(Settings):
    """How detections are matched with annotated nuclei."""

    radius_um: Positive = Field(
        2.0, description="A detection within this distance of a nucleus may match it"
    )
    threshold_from: Literal["validation", "labelled"] = Field(
        "validation",
        description="Images that the threshold is chosen on: the validation ones, or, with a "
        "handful of labels, all of them, training images included",
    )
    figures: bool = Field(True, description="Draw precision-recall and learning curves")
    overlays: Annotated[int, Field(ge=0)] = Field(4, description="Test images drawn as overlays")


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
    base: Annotated[str, AfterValidator(_base_name)] = Field(
        "none", description="An organ, a model name, a file, or none to start from scratch"
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
    train: TrainSettings = TrainSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

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
