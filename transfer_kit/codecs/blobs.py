"""Blobs of a probability map: Otsu's threshold, and the filters by area and score (paper 004)."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]

_LEVELS = 255


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

    The map counts in 256 levels from 0 to 1, as an 8-bit image: one that is the same everywhere
    to half a level, as that of an image without any response, has no foreground.
    """
    levels = np.rint(probability * np.float32(_LEVELS)).astype(np.uint8)
    if levels.size == 0 or levels.min() == levels.max():
        return np.zeros(probability.shape, np.bool_)
    mask = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
    return np.asarray(mask, np.uint8).view(np.bool_)


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
