"""The description of a detector's decoding, chosen by its codec's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from transfer_kit.card import DetectorCard
from transfer_kit.detector import Detector
from transfer_kit.exporting.decoding.description import Decoding, MapMeaning, Number
from transfer_kit.exporting.decoding.hills import distance
from transfer_kit.exporting.decoding.peaks import kinet, objectness, proximity
from transfer_kit.exporting.decoding.pieces import concentric, semantic
from transfer_kit.exporting.decoding.pointing import boxes, voting


class _Parts(NamedTuple):
    maps: list[MapMeaning]
    numbers: dict[str, Number]
    steps: list[str]
    nuclei: str


_DESCRIBED: dict[str, Callable[[Any, float], tuple[Any, ...]]] = {
    "boxes": boxes,
    "concentric": concentric,
    "distance": distance,
    "kinet": kinet,
    "objectness": objectness,
    "proximity": proximity,
    "semantic": semantic,
    "voting": voting,
}


def described_codecs() -> tuple[str, ...]:
    """The codecs whose decoding is described."""
    return tuple(sorted(_DESCRIBED))


def describe_decoding(detector: Detector) -> Decoding:
    """How the detector finds nuclei in its network's maps, at its threshold and its mpp."""
    card, codec = detector.card, detector.codec
    parts = _Parts(*_DESCRIBED[codec.name](codec, card.mpp))
    return Decoding(
        codec=codec.name,
        mpp=card.mpp,
        input=_input(card),
        stride_px=detector.network.stride,
        context_px=detector.network.receptive_field // 2,
        maps=parts.maps,
        numbers={"threshold": card.threshold, **parts.numbers},
        steps=[
            *parts.steps,
            "Drop nuclei whose score is below threshold. Coordinates are in px of the image as it "
            "was given to the network, x to the right and y down; the centre of the first pixel "
            "is at (0, 0).",
        ],
        nuclei=parts.nuclei,
    )


def _input(card: DetectorCard) -> str:
    stain = (
        ""
        if card.normalise == "none"
        else f", brought to the stain_reference of this card by {card.normalise} first,"
    )
    mean, std = (", ".join(f"{value:g}" for value in each) for each in (card.mean, card.std))
    return (
        f"images, float32 (B, 3, H, W): an RGB image of {card.mpp:g} µm per pixel{stain} as "
        f"(pixel / 255 - mean) / std with mean ({mean}) and std ({std})"
    )
