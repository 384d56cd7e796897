"""Images and annotations at another pixel size: the one way, in training and in prediction."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely.affinity import affine_transform
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation

SAME_SCALE = 0.01
"""Images whose mpp is within this fraction of the wanted one are not resampled, in training and in
prediction alike: it would cost more sharpness than it corrects."""


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
    height, width = image.shape[:2]
    size = None  # OpenCV then rounds the sides itself and keeps to the factor, not to their ratio
    if round(min(height, width) * factor) == 0:
        size = max(1, round(width * factor)), max(1, round(height * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, fx=factor, fy=factor, interpolation=how), np.uint8)


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
