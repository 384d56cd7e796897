"""The stain of a training's images: how it varies, and what the card keeps of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from transfer_kit.card import DetectorCard
from transfer_kit.data.sample import Sample
from transfer_kit.data.stain import (
    StainChange,
    StainEstimate,
    StainReference,
    estimate_stains,
    stain_variation,
    stains_of,
)
from transfer_kit.data.stain.staintools_backend import refuse_missing_staintools
from transfer_kit.errors import UserError
from transfer_kit.recipe import Recipe
from transfer_kit.stores.datasets import find_dataset

MOST_IMAGES = 40
"""Of one source, evenly spaced, from which its colours are learned."""

Image = NDArray[np.uint8]


def vary_stain(card: DetectorCard, samples: Sequence[Sample], recipe: Recipe) -> StainChange | None:
    """The recipe's stain augmentation of crops of `samples`; None where it asks for none.

    Raises:
        UserError: a source of RandStainNA is unknown, or there is nothing to draw from.
    """
    images = _images_of_sources(card, samples, recipe.stain.sources)
    return stain_variation(recipe.stain, stains=stains_of(card.stain), images=images)


def stain_estimate(
    card: DetectorCard, recipe: Recipe
) -> Callable[[Image, str], StainEstimate] | None:
    """How the dyes of each training image are estimated; None where nothing asks for them."""
    if recipe.stain.augment != "jitter":
        return None
    refuse_missing_staintools(recipe.stain.estimate)
    return partial(_estimated, card, recipe)


def record_stain(card: DetectorCard, samples: Sequence[Sample], recipe: Recipe) -> None:
    """Keep in the card what is typical of the training images, where they were taken as they are.

    Images of later trainings can then be brought to it (`stain.reference: base`). Where they show
    no two dyes, such as in fluorescence, the card keeps none.
    """
    if card.normalise != "none":
        return
    images = (sample.image() for sample in _few(samples))
    try:
        card.stain_reference = StainReference.of_images(
            images, recipe.target, stains=stains_of(card.stain)
        )
    except UserError:
        card.stain_reference = None


def _estimated(card: DetectorCard, recipe: Recipe, image: Image, name: str) -> StainEstimate:
    method, stains = recipe.stain.estimate, stains_of(card.stain)
    return estimate_stains(image, method, stains=stains, name=name)


def _images_of_sources(
    card: DetectorCard, samples: Sequence[Sample], sources: Sequence[str]
) -> Iterator[Image]:
    normaliser = card.normaliser
    for part in (samples, *(find_dataset(name).split("train").samples for name in sources)):
        for sample in _few(part):
            image = sample.image()
            yield image if normaliser is None else normaliser(image, sample.id)


def _few(samples: Sequence[Sample]) -> list[Sample]:
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), MOST_IMAGES)).astype(int)
    return [samples[index] for index in np.unique(chosen)]
