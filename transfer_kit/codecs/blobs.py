"""Blobs of a probability map: Otsu's threshold, and the filters by area and score (paper 004)."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]

_LEVELS = 255
GAUSSIAN_REACH = 4.5
"""Standard deviations beyond which `smoothed` looks at nothing."""


class Blobs(NamedTuple):
    """Connected pieces of foreground.

    Attributes:
        instances: `(H, W)` int32, 0 outside, each of 1 to N on at least one pixel.
        scores: Mean probability of the pixels of each, `(N,)` float32.
    """

    instances: NDArray[np.int32]
    scores: Map


def smoothed(probability: Map, sigma_px: float) -> Map:
    """`probability` `(H, W)` under a Gaussian; as it is where `sigma_px` is 0."""
    if sigma_px == 0:
        return probability
    blurred = cv2.GaussianBlur(probability, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32)


def otsu_foreground(probability: Map) -> NDArray[np.bool_]:
    """Pixels `(H, W)` above the threshold that Otsu's method finds for the whole map.

    A map that is the same everywhere to half a level, as that of an image without any response,
    has no foreground.
    """
    counts = np.bincount(levels_of(probability).ravel(), minlength=_LEVELS + 1)
    return np.asarray(probability > otsu_threshold(counts), np.bool_)


def levels_of(probability: Map) -> NDArray[np.uint8]:
    """The map in 256 levels from 0 to 1, as an 8-bit image."""
    return np.asarray(np.rint(probability * np.float32(_LEVELS)), np.uint8)


def otsu_threshold(counts: NDArray[np.int64]) -> float:
    """The probability above which Otsu's method sees foreground (Otsu 1979).

    Half a level above the level that parts the classes, so that no pixel lies on it.

    Args:
        counts: How many pixels have each of the 256 levels.
    """
    if np.count_nonzero(counts) < 2:
        return float(np.nextafter(1, 0))
    weights = counts / counts.sum()
    below = np.cumsum(weights)
    means = np.cumsum(weights * np.arange(_LEVELS + 1))
    parted = (below > 0) & (below < 1 - 1e-12)
    spread = np.zeros(_LEVELS + 1)
    spread[parted] = (means[-1] * below[parted] - means[parted]) ** 2 / (
        below[parted] * (1 - below[parted])
    )
    return float((int(spread.argmax()) + 0.5) / _LEVELS)


def blobs_in(probability: Map, foreground: NDArray[np.bool_], *, above_px: float) -> Blobs:
    """The 8-connected pieces of `foreground` of more than `above_px` pixels, with their scores.

    Args:
        probability: `(H, W)`.
        foreground: `(H, W)`.
        above_px: a1 of paper 004, section 3.3.
    """
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(
        foreground.view(np.uint8), connectivity=8
    )
    large = statistics[:, cv2.CC_STAT_AREA] > above_px
    large[0] = False
    numbers = np.zeros(count, np.int32)
    numbers[large] = np.arange(1, np.count_nonzero(large) + 1)
    instances = numbers[pieces]
    where = np.flatnonzero(instances)
    owner = instances.ravel()[where] - 1
    sums = np.bincount(owner, weights=probability.ravel()[where])
    areas = statistics[large, cv2.CC_STAT_AREA]
    return Blobs(instances, (sums / areas).astype(np.float32))
