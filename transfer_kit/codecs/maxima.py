"""Local maxima of a map: one point a peak, also where peaks are flat or tied."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Points

Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Peaks:
    """Local maxima, highest first, equals in reading order.

    Attributes:
        points: `(N, 2)` float32, x and y in pixels; the centroid where a peak is flat.
        values: `(N,)` float32, the map at the peak.
        pixels: `(N,)` one pixel of each peak, as index into the flattened map.
    """

    points: Points
    values: Map
    pixels: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.points)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Peaks:
        """The peaks at `index`, in that order."""
        return Peaks(self.points[index], self.values[index], self.pixels[index])


def local_maxima(image: Map, *, radius_px: int, floor: float = 0.0) -> Peaks:
    """Pixels that nothing within `radius_px` (a square, the borders included) exceeds.

    Connected pixels of equal height are one peak, at their centroid; of equal peaks within
    `radius_px` of one another the first in reading order stays. Work beyond the dilation is
    done only for candidates, and for ties only where there are any.

    Args:
        image: `(H, W)` float32, finite.
        radius_px: Half-width of the window, at least 1.
        floor: Lowest value of a peak; peaks of 0 and below are never returned.
    """
    window = np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    candidates = image == cv2.dilate(image, window)
    candidates &= image >= floor if floor > 0 else image > 0
    pixels = np.flatnonzero(candidates)
    rows, columns = np.divmod(pixels, image.shape[1])
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    peaks = Peaks(points, image.ravel()[pixels], pixels)
    flat = _has_neighbours(candidates, rows, columns)
    if flat:
        peaks = _merge_plateaus(peaks, candidates)
    peaks = peaks.take(np.argsort(-peaks.values, kind="stable"))
    # A centroid may fall beside a lower peak; without one, only equals can be too near.
    rivals = np.arange(len(peaks)) if flat else _equals(peaks.values)
    return _first_of_rivals(peaks, rivals, shape=image.shape, radius_px=radius_px)


def _has_neighbours(
    mask: NDArray[np.bool_], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> bool:
    """Whether any two of the mask's pixels, listed in reading order, touch."""
    height, width = mask.shape
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        inside = (rows + down < height) & (columns + right >= 0) & (columns + right < width)
        if mask[rows[inside] + down, columns[inside] + right].any():
            return True
    return False


def _merge_plateaus(peaks: Peaks, candidates: NDArray[np.bool_]) -> Peaks:
    """One peak for each connected set of candidates, which are all of one height."""
    _, labels, _, centroids = cv2.connectedComponentsWithStats(
        candidates.astype(np.uint8), connectivity=8
    )
    found, first = np.unique(labels.ravel()[peaks.pixels], return_index=True)
    order = np.argsort(first)
    return replace(peaks.take(first[order]), points=centroids[found[order]].astype(np.float32))


def _equals(values: Map) -> NDArray[np.intp]:
    """Positions of the values, sorted, that occur more than once."""
    same = values[1:] == values[:-1]
    return np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))


def _first_of_rivals(
    peaks: Peaks, rivals: NDArray[np.intp], *, shape: tuple[int, ...], radius_px: int
) -> Peaks:
    """Peaks, highest first, less the `rivals` within the window of an earlier rival."""
    if not len(rivals):
        return peaks
    side = 2 * radius_px + 1
    taken = np.zeros((shape[0] + side, shape[1] + side), np.bool_)
    kept = np.ones(len(peaks), np.bool_)
    pixels = np.rint(peaks.points[rivals]).astype(np.intp)
    for rival, (x, y) in zip(rivals.tolist(), pixels.tolist(), strict=True):
        if taken[y + radius_px, x + radius_px]:
            kept[rival] = False
        else:
            taken[y : y + side, x : x + side] = True
    return peaks.take(kept)


def refine(peaks: Peaks, image: Map) -> Peaks:
    """Peaks moved by at most half a pixel to the top of a parabola along x and along y.

    Along an axis on which a peak is flat or touches the border it stays where it is.
    """
    height, width = image.shape
    rows, columns = np.divmod(peaks.pixels, width)
    at = np.rint(peaks.points).astype(np.intp)
    single = (at[:, 0] == columns) & (at[:, 1] == rows)
    moved = peaks.points.copy()
    for axis, (size, before) in enumerate(((width, (0, -1)), (height, (-1, 0)))):
        inner = np.flatnonzero(single & (at[:, axis] > 0) & (at[:, axis] < size - 1))
        x, y = at[inner].T
        low = image[y + before[0], x + before[1]]
        high = image[y - before[0], x - before[1]]
        curvature = low - 2 * image[y, x] + high
        bent = curvature < 0
        shift = 0.5 * (low[bent] - high[bent]) / curvature[bent]
        moved[inner[bent], axis] = at[inner[bent], axis] + np.clip(shift, -0.5, 0.5)
    return replace(peaks, points=moved)
