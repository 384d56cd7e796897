"""Recipe fields of what is learned from beside the target's labels."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from transfer_kit.gamma_forms import Gamma, parse_gamma
from transfer_kit.settings.base import Positive, Settings


def _percentage(value: str) -> str:
    match = re.match(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$", value)
    if match is None or not 0 < float(match[1]) <= 100:
        raise ValueError("should be a percentage of the images above 0% and up to 100%, as '10%'")
    return f"{float(match[1]):g}%"


def _listed(value: Any) -> Any:
    """Names joined by ' + ', as several targets are, in a list."""
    if not isinstance(value, str):
        return value
    return [name.strip() for name in value.split(" + ")] if value.strip() else []


Share = Annotated[str, AfterValidator(_percentage)]


class AuxiliarySettings(Settings):
    """What is learned from beside the target, and how the two losses are balanced (paper 002).

    The tables are those of `transfer_kit.pair.Pair`. See `transfer_kit.transfer.mixing`.
    """

    sources: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed)
    ] = Field(
        (),
        description="Organs, datasets or folders whose training images are learned from beside the "
        "target's: a list, or joined by ' + '",
    )
    share: Share = Field(
        "100%",
        description="How many of all their training images together are used; of one seed, 10% "
        "lies inside 20%",
    )
    gamma: Annotated[Gamma, BeforeValidator(parse_gamma)] = Field(
        1.0,
        description="Weight of the target's loss, L = gamma * L_target + L_auxiliary: a number, or "
        "what counts from each step on ({0: 20, 500: 5})",
    )
    sampling: Literal["size", "even", "similarity"] = Field(
        "size",
        description="size: every image equally often, whose ever it is (naive pooling, paper 002); "
        "even and similarity: half of the crops are the target's, and the sources share the other "
        "half equally, or by how near they are to the target",
    )
    classes: dict[str, dict[str, str]] = Field(
        {},
        description="By source, the target too: its names of classes, and what they are called "
        "here; '' leaves a nucleus without a class, and names that are not listed stay",
    )
    mpp: dict[str, Positive] = Field(
        {}, description="By source, the target too: µm per pixel, where its card is wrong"
    )
    held_out: dict[str, tuple[str, ...]] = Field(
        {},
        description="By source: cases that nothing learns from; the target's are tested on, beside "
        "its test split",
    )
    replay: Share | None = Field(
        None,
        description="How much of the base's own training images is mixed in, too, so that it "
        "forgets less; null is none",
    )


class AdaptationSettings(Settings):
    """How a base is adapted to images without labels (`transfer-kit adapt`)."""

    name: Literal["none", "batch_norm", "stain", "self_training"] = Field(
        "none",
        description="batch_norm gives batch norms the statistics of the images; stain brings all "
        "images to the base's stain, as `stain` says; self_training learns from the confident "
        "nuclei of a moving average of itself; none learns from labels",
    )
    images: str | None = Field(
        None,
        description="A folder of images to adapt to, in place of the target's training images; "
        "annotations beside them are not read",
    )
    images_mpp: Positive | None = Field(
        None, description="µm per pixel of that folder's images, where their files do not say"
    )
    teacher_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.99,
        description="self_training: share of the teacher's weights that a step keeps; the rest is "
        "the student's",
    )
    confidence: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5,
        description="self_training: candidates count whole whose score is this share above or "
        "below the base's threshold, those nearer to it less, and those at it not at all",
    )
