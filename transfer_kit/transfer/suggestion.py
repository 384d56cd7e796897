"""Which images and regions to label next: where a detector is unsure, and far from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_kit.data.annotation import Points
from transfer_kit.data.tiles import Window
from transfer_kit.transfer.uncertainty import Doubts

Floats = NDArray[np.float64]

PLACE_UM = 10.0
"""Largest side of the squares each of which is looked at in one place for its features."""

SMALLEST_UM = 2 * PLACE_UM
"""Smallest side of a region: it holds one such square whole."""

_UM2_PER_MM2 = 1e6


@dataclass(frozen=True, eq=False)
class Regions:
    """What of the images may be proposed, or is labelled already: N regions.

    Attributes:
        image: `(N,)` the image of each, a number.
        windows: `(N, 4)` x, y, width and height in pixels of their image.
        features: `(N, D)` what they are like.
        uncertainty: `(N,)` bits per mm².
    """

    image: NDArray[np.intp]
    windows: NDArray[np.intp]
    features: Floats
    uncertainty: Floats


@dataclass(frozen=True)
class Pick:
    """One region that was chosen.

    Attributes:
        index: Its position.
        distance: In features from the nearest that is labelled or was chosen before, in standard
            deviations; None for the first where nothing is labelled.
    """

    index: int
    distance: float | None


def windows_over(size: tuple[int, int], side_px: int) -> list[Window]:
    """Squares over an image `(H, W)`, each half covered by the next; the last ends at the rim.

    An image that is narrower or lower than the squares has windows as narrow or low as itself.
    """
    height, width = size
    wide, high = min(side_px, width), min(side_px, height)
    return [Window(x, y, wide, high) for y in _starts(height, high) for x in _starts(width, wide)]


def draw_feature_places(size: tuple[int, int], mpp: float, rng: np.random.Generator) -> Points:
    """One place at random in each of the equal squares, `PLACE_UM` wide at most, of an image."""
    sides = [max(1, int(np.ceil(edge * mpp / PLACE_UM - 1e-9))) for edge in size]
    rows, columns = np.divmod(np.arange(sides[0] * sides[1]), sides[1])
    drawn = rng.random((len(rows), 2))
    x = (columns + drawn[:, 0]) * size[1] / sides[1] - 0.5
    y = (rows + drawn[:, 1]) * size[0] / sides[0] - 0.5
    inside = np.minimum(np.stack([x, y], axis=1), np.array(size[::-1]) - 0.51)
    return inside.astype(np.float32)


def describe(features: Floats, places: Points, windows: Sequence[Window]) -> Floats:
    """Mean and standard deviation `(N, 2 D)` of the features `(P, D)` at the places in a window."""
    described = []
    for window in windows:
        there = features[_within(places, window)]
        described.append(np.concatenate([there.mean(axis=0), there.std(axis=0)]))
    return np.array(described).reshape(len(windows), 2 * features.shape[1])


def uncertainty_in(doubts: Doubts, windows: Sequence[Window], mpp: float) -> Floats:
    """Bits per mm² in each window `(N,)`: as many nuclei as the detector could toss a coin for."""
    bits = [doubts.bits[_within(doubts.points, window)].sum() for window in windows]
    areas = [window.width * window.height * mpp**2 / _UM2_PER_MM2 for window in windows]
    return np.asarray(np.array(bits) / np.array(areas), np.float64)


def standardised(*samples: Floats) -> tuple[Floats, ...]:
    """The samples `(N, D)` by the standard deviations of all of them together.

    Channels without variation are left as they are.
    """
    deviation = np.concatenate(samples).std(axis=0)
    return tuple(sample / np.where(deviation > 0, deviation, 1.0) for sample in samples)


def choose_regions(
    regions: Regions, *, images: int, per_image: int = 1, covered: ArrayLike | None = None
) -> list[Pick]:
    """Greedy weighted k-centre: always the region with the greatest uncertainty × distance.

    The distance is that to the nearest region that is covered or was chosen before, as in the
    core-set of Sener and Savarese (2018, algorithm 1). Weighted by uncertainty, and begun with the
    heaviest where nothing is covered, this is the heuristic of Dyer and Frieze (1985) for weighted
    centres: with one region an image, the greatest uncertainty × distance that is left is at most
    three times that of the best choice. Regions of one image do not overlap. Of equals the farther
    one is taken, then the first.

    Args:
        regions: To choose from.
        images: From how many at most.
        per_image: Regions of an image at most.
        covered: `(M, D)` features of what is labelled already.
    """
    known = np.zeros((0, regions.features.shape[1])) if covered is None else np.asarray(covered)
    nearest = _distances(regions.features, known)
    begun = len(known) > 0
    free = np.ones(len(regions.image), bool)
    chosen: list[Pick] = []
    while free.any():
        best = _farthest(regions.uncertainty, nearest if begun else np.ones(len(free)), free)
        chosen.append(Pick(best, float(nearest[best]) if begun else None))
        nearest = np.minimum(nearest, _distances(regions.features, regions.features[best][None]))
        begun = True
        free &= ~_overlapping(regions, best)
        per = np.bincount(regions.image[[pick.index for pick in chosen]])
        if per[regions.image[best]] == per_image:
            free &= regions.image != regions.image[best]
        if np.count_nonzero(per) == images:
            free &= np.isin(regions.image, np.flatnonzero(per))
    return chosen


def _farthest(weights: Floats, nearest: Floats, free: NDArray[np.bool_]) -> int:
    places = np.flatnonzero(free)
    # Where nothing is in doubt any more, distance alone decides.
    order = np.lexsort((places, -nearest[places], -(weights * nearest)[places]))
    return int(places[order[0]])


def _distances(features: Floats, others: Floats) -> Floats:
    """Of each to the nearest of the others, infinite without any."""
    nearest = np.full(len(features), np.inf)
    for other in others:
        nearest = np.minimum(nearest, np.linalg.norm(features - other, axis=1))
    return nearest


def _overlapping(regions: Regions, index: int) -> NDArray[np.bool_]:
    x, y, width, height = regions.windows.T
    apart = (
        (x >= x[index] + width[index])
        | (x[index] >= x + width)
        | (y >= y[index] + height[index])
        | (y[index] >= y + height)
    )
    overlapping: NDArray[np.bool_] = ~apart & (regions.image == regions.image[index])
    return overlapping


def _within(points: Points, window: Window) -> NDArray[np.bool_]:
    """Which points lie in a window, whose pixels reach half a pixel around their centres."""
    x, y = points.T
    across = (x >= window.x0 - 0.5) & (x < window.x0 + window.width - 0.5)
    return np.asarray(across & (y >= window.y0 - 0.5) & (y < window.y0 + window.height - 0.5))


def _starts(length: int, side: int) -> list[int]:
    last = length - side
    count = 1 + int(np.ceil(2 * last / side - 1e-9))
    return [round(last * k / max(count - 1, 1)) for k in range(count)]
