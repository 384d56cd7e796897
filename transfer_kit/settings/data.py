"""Recipe fields of the crops that a network learns from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from transfer_kit.settings.base import Fraction, NotNegative, Positive, Settings

StainEstimation = Literal["macenko", "vahadane", "staintools-macenko", "staintools-vahadane"]


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
