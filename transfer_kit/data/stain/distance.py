"""How far two stains are apart: in the optical density of tissue, its mean and its spread."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.density import optical_density

Channels = tuple[float, float, float]

_LEAST_DENSITY = 0.15
"""Mean optical density from which on a pixel is tissue (Macenko et al. 2009)."""
_FEWEST_PIXELS = 100
_MOST_PIXELS = 100_000


@dataclass(frozen=True)
class DensityStatistics:
    """Natural optical density of red, green and blue in tissue: mean and standard deviation."""

    mean: Channels
    deviation: Channels


def tissue_density(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Natural optical density `(N, 3)` of the pixels that are tissue, of RGB `(H, W, 3)`.

    Of an image of more than 100 000 pixels, every second, third … row and column is looked at.
    """
    step = math.ceil(math.sqrt(image.shape[0] * image.shape[1] / _MOST_PIXELS))
    density = optical_density(image[::step, ::step]).reshape(-1, 3)
    tissue: NDArray[np.float32] = density[density.mean(axis=1) > _LEAST_DENSITY]
    return tissue


def density_statistics(image: NDArray[np.uint8]) -> DensityStatistics | None:
    """Of the tissue of one image, uint8 RGB; None where there is hardly any."""
    tissue = tissue_density(image)
    if len(tissue) < _FEWEST_PIXELS:
        return None
    mean = tissue.mean(axis=0, dtype=np.float64)
    return DensityStatistics(_three(mean), _three(tissue.std(axis=0, dtype=np.float64)))


def mean_statistics(images: Iterable[DensityStatistics | None]) -> DensityStatistics | None:
    """Those of an organ: the means over its images, each of equal weight; None without any."""
    known = [image for image in images if image is not None]
    if not known:
        return None
    return DensityStatistics(
        _three(np.mean([image.mean for image in known], axis=0)),
        _three(np.mean([image.deviation for image in known], axis=0)),
    )


def stain_distance(first: DensityStatistics, second: DensityStatistics) -> float:
    """Root of the summed squared differences of means and of standard deviations.

    This is the Fréchet distance of two Gaussians whose channels are independent, in natural
    optical density.
    """
    one, other = ((*each.mean, *each.deviation) for each in (first, second))
    return float(np.linalg.norm(np.subtract(one, other)))


def _three(values: NDArray[np.float64]) -> Channels:
    first, second, third = values.tolist()
    return first, second, third
