"""Recipe fields of the detector and of how it is judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from transfer_kit.settings.base import Positive, Settings


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
