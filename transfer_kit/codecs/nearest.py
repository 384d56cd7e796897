"""Which centre is nearest to each pixel, and how many are near."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Points


def nearest_and_count(
    points: Points, size: tuple[int, int], radius_px: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The nearest point less than `radius_px` away from each pixel, and how many there are.

    Only a window around each point is looked at, so that points may lie between and outside
    pixels, and empty places cost nothing.

    Args:
        points: `(N, 2)`, x and y in pixels.
        size: Height and width in pixels.
        radius_px: Euclidean; a pixel exactly this far away is not near.

    Returns:
        The number of the nearest point, from 0, the first of equally near ones, and -1 where
        none is near; and the count. Both `(H, W)`.
    """
    height, width = size
    nearest = np.full(size, -1, np.int32)
    count = np.zeros(size, np.int32)
    square = np.float32(radius_px**2)
    smallest = np.full(size, square, np.float32)
    first = np.maximum(np.floor(points - radius_px), 0).astype(np.intp)
    beyond = np.minimum(np.ceil(points + radius_px) + 1, (width, height)).astype(np.intp)
    for number in np.flatnonzero((first < beyond).all(axis=1)).tolist():
        (left, top), (right, bottom) = first[number], beyond[number]
        window = slice(top, bottom), slice(left, right)
        along_x = np.arange(left, right, dtype=np.float32) - points[number, 0]
        along_y = np.arange(top, bottom, dtype=np.float32) - points[number, 1]
        distance = along_x**2 + (along_y**2)[:, None]
        count[window] += distance < square
        closer = distance < smallest[window]
        np.minimum(distance, smallest[window], out=smallest[window])
        np.copyto(nearest[window], number, where=closer)
    return nearest, count
