"""Images and annotations at another pixel size: the one way, in training and in prediction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely.affinity import affine_transform
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.resampling_axis import ResampledAxis
from transfer_kit.data.tiles import Window

SAME_SCALE = 0.01
"""Images whose mpp is within this fraction of the wanted one are not resampled, in training and in
prediction alike: it would cost more sharpness than it corrects."""

_AT_ONCE = 1 << 16


def scale_factor(mpp: float, wanted: float) -> float:
    """How much an image of `mpp` µm per pixel is enlarged to have `wanted`; 1 within 1 %."""
    factor = mpp / wanted
    return 1.0 if abs(factor - 1) <= SAME_SCALE else factor


def resample_image(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """An image `(H, W, 3)` enlarged by `factor`, its sides rounded to whole pixels.

    Areas are averaged when shrinking, cubics drawn when enlarging. A point at x lies at
    (x + ½) factor − ½ then, also where the side was rounded.
    """
    if factor == 1:
        return image
    rows, columns = (ResampledAxis(length, factor) for length in image.shape[:2])
    whole = Window(0, 0, columns.resampled, rows.resampled)
    return resample_window(image, (0, 0), rows, columns, whole)


def resample_window(
    image: NDArray[np.uint8],
    corner: tuple[int, int],
    rows: ResampledAxis,
    columns: ResampledAxis,
    window: Window,
) -> NDArray[np.uint8]:
    """A window of a resampled image, with the bytes that it has in the whole.

    Args:
        image: Part `(H, W, 3)` of the original that holds the `sources` of the window.
        corner: x and y of its first pixel in the original.
        rows: Of the whole image.
        columns: Of the whole image.
        window: Of the resampled image.
    """
    if columns.factor == 0.5 and image.shape[:2] == (2 * window.height, 2 * window.width):
        # The most common case. OpenCV's means of four pixels are rounded as those below.
        size = (window.width, window.height)
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    index, weights = rows.taps(window.y0, window.y1)
    tall = _weighted(image.reshape(len(image), -1), index - corner[1], weights)
    # Columns become rows, since whole rows are what memory gives fast.
    turned = tall.reshape(window.height, -1, 3).transpose(1, 0, 2).reshape(image.shape[1], -1)
    index, weights = columns.taps(window.x0, window.x1)
    wide = _weighted(turned, index - corner[0], weights)
    light = np.floor(wide + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(light.reshape(window.width, window.height, 3).transpose(1, 0, 2))


def _weighted(
    values: NDArray[Any], index: NDArray[np.intp], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Weighted sums of the rows of `values` `(N, M)` at `index` `(T, K)`, `(K, M)`."""
    count, width = index.shape[1], values.shape[1]
    sums = np.empty((count, width), np.float32)
    step = max(1, _AT_ONCE // max(width, 1))  # as much as the processor keeps near
    for first in range(0, count, step):
        some = slice(first, first + step)
        part = sums[some]
        np.multiply(values[index[0, some]], weights[0, some, None], out=part)
        for rows, weight in zip(index[1:, some], weights[1:, some, None], strict=True):
            part += values[rows] * weight
    return sums


def resample(
    image: NDArray[np.uint8], annotation: Annotation, factor: float
) -> tuple[NDArray[np.uint8], Annotation]:
    """Image and annotation enlarged by `factor`; instances take the nearest pixel."""
    if factor == 1:
        return image, annotation
    resized = resample_image(image, factor)
    return resized, _scaled(annotation, factor, (resized.shape[0], resized.shape[1]))


def _scaled(annotation: Annotation, factor: float, size: tuple[int, int]) -> Annotation:
    moved_by = (factor - 1) / 2
    matrix = [factor, 0, 0, factor, moved_by, moved_by]

    def moved(geometry: BaseGeometry) -> BaseGeometry:
        return affine_transform(geometry, matrix)

    return replace(
        annotation,
        points=((annotation.points + 0.5) * factor - 0.5).astype(np.float32),
        instances=_nearest(annotation.instances, factor, size),
        outlines=tuple(None if o is None else moved(o) for o in annotation.outlines),
        labelled_regions=tuple(moved(region) for region in annotation.labelled_regions),
        region_labels=tuple((name, moved(region)) for name, region in annotation.region_labels),
    )


def _nearest(
    instances: NDArray[np.int32] | None, factor: float, size: tuple[int, int]
) -> NDArray[np.int32] | None:
    if instances is None:
        return None
    rows, columns = (
        # The last pixel's centre may lie beyond the map, where the side was rounded up.
        np.minimum(((np.arange(new) + 0.5) / factor).astype(np.intp), old - 1)
        for new, old in zip(size, instances.shape, strict=True)
    )
    nearest: NDArray[np.int32] = instances[rows[:, None], columns]
    return nearest
