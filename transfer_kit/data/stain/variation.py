"""Which stain augmentation a recipe asks for, ready to change crops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.colour_statistics import ColourDistribution, colour_statistics
from transfer_kit.data.stain.estimate import StainEstimate
from transfer_kit.data.stain.hestain import HEStain
from transfer_kit.data.stain.jitter import StainJitter
from transfer_kit.data.stain.randstainna import RandStainNA
from transfer_kit.data.stain.vectors import Stains
from transfer_kit.errors import UserError
from transfer_kit.settings import StainSettings


class StainChange(Protocol):
    """A random change of an image's stain."""

    def __call__(
        self,
        image: NDArray[np.uint8],
        rng: np.random.Generator,
        estimate: StainEstimate | None = None,
    ) -> NDArray[np.uint8]:
        """The image `(H, W, 3)` uint8 RGB as another slide might have shown it."""


@dataclass(frozen=True)
class Sometimes:
    """A stain change that happens to a share of the crops."""

    change: StainChange
    probability: float

    def __call__(
        self,
        image: NDArray[np.uint8],
        rng: np.random.Generator,
        estimate: StainEstimate | None = None,
    ) -> NDArray[np.uint8]:
        """The image, changed with the probability."""
        return self.change(image, rng, estimate) if rng.random() < self.probability else image


def stain_variation(
    settings: StainSettings, *, stains: Stains, images: Iterable[NDArray[np.uint8]]
) -> StainChange | None:
    """The stain augmentation of a recipe; None where it asks for none.

    Args:
        settings: The recipe's.
        stains: Which two dyes the images have.
        images: Whose statistics RandStainNA draws from; not looked at by the others.

    Raises:
        UserError: there are fewer than two images to draw from, or the presets of H&E are asked
            for another stain.
    """
    change = _change(settings, stains, images)
    return None if change is None else Sometimes(change, settings.probability)


def _change(
    settings: StainSettings, stains: Stains, images: Iterable[NDArray[np.uint8]]
) -> StainChange | None:
    if settings.augment == "jitter":
        return StainJitter(
            settings.factor,
            settings.offset,
            settings.hue_degrees,
            settings.background,
            settings.estimate,
            stains,
        )
    if settings.augment == "hestain":
        if stains != "H&E":
            raise UserError(
                f"stain.augment: hestain knows matrices of H&E alone, and the images are {stains}; "
                "use jitter or randstainna."
            )
        return HEStain(settings.factor, settings.offset, settings.background)
    if settings.augment == "randstainna":
        statistics = [colour_statistics(image, settings.space) for image in images]
        if len(statistics) < 2:
            raise UserError(
                "stain.augment: randstainna draws from how images differ, and there is one alone; "
                "name organs or datasets in stain.sources."
            )
        return RandStainNA(ColourDistribution.of(statistics), settings.spread)
    return None
