"""Nuclei from a map whose hills they are: maxima by their dynamics, and a seeded watershed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

Levels = NDArray[np.uint8]
Instances = NDArray[np.int32]

_NEIGHBOURS = np.ones((3, 3), np.uint8)
# Hills of nuclei are flattened within some ten steps. Steps are looked at in groups, and a map on
# which that takes more than these is left to scikit-image, whose time does not depend on it.
_GROUP, _MOST_GROUPS = 8, 32


def separate(levels: Levels, foreground: NDArray[np.bool_], *, dynamics: int) -> Instances:
    """DIST's post-processing (paper 003, section IV-D): a nucleus for each hill of a map.

    The maxima whose dynamics exceed `dynamics` (Eq. 4) seed a watershed of the map within the
    foreground. Neighbours are eight throughout. A connected piece of foreground without such a
    maximum holds no nucleus.

    The result is that of scikit-image's `reconstruction`, `local_maxima`, `label` and `watershed`,
    pixel by pixel, but that of equal seeds the first in reading order floods first. Left to
    scikit-image, that depends on all other seeds, and so a nucleus on the far end of the image.

    Args:
        levels: The map `(H, W)` in whole steps.
        foreground: Pixels `(H, W)` that may belong to a nucleus.
        dynamics: p1 in steps; 0 makes every local maximum a nucleus.

    Returns:
        Instances `(H, W)` int32, 1 to N in the reading order of their maxima.
    """
    seeds = maxima_by_dynamics(levels, dynamics) & foreground
    depths = np.invert(levels).astype(np.float64)
    first_to_last = np.flatnonzero(seeds)
    depths.ravel()[first_to_last] += np.linspace(0, 0.5, len(first_to_last) + 1)[1:]
    flooded = watershed(depths, label(seeds), mask=foreground, connectivity=2)
    return np.asarray(flooded, np.int32)


def maxima_by_dynamics(levels: Levels, dynamics: int) -> NDArray[np.bool_]:
    """Pixels `(H, W)` of the maxima whose dynamics exceed `dynamics`.

    Paper 003, Eq. 4: on every path to a higher maximum the map falls by more than `dynamics`
    below it. The highest of all must rise as much above the lowest point of the map. Of several
    equal maxima with shallower valleys between them, which the strict inequality of Eq. 4 would
    all keep, one is left, together with these valleys: as in the authors' published code, maxima
    are the regional maxima of the map's h-reconstruction (Soille 2003, section 6.3.5).
    """
    if dynamics > 0:
        levels = _flattened(levels, dynamics)
    return np.asarray(local_maxima(levels), np.bool_)


def _flattened(levels: Levels, height: int) -> Levels:
    """The map with `height` cut off each hill: its reconstruction by dilation from below."""
    lowered: Levels = cv2.subtract(levels, np.full_like(levels, min(height, 255)))
    for _ in range(_MOST_GROUPS):
        grown = lowered
        for _ in range(_GROUP):
            grown = cv2.min(cv2.dilate(grown, _NEIGHBOURS), levels)
        if np.array_equal(grown, lowered):
            return lowered
        lowered = grown
    return np.asarray(reconstruction(lowered, levels), np.uint8)
