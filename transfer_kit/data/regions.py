"""Labelled regions and region labels as masks, and the part of an annotation inside a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation

# OpenCV draws with vertices on a grid of 1/16 pixel, and smears what it clips onto the first and
# last pixels of its canvas, which is therefore larger than the mask.
_FRACTION_BITS = 4
_FRAME = 4


def labelled_mask(
    annotation: Annotation, size: tuple[int, int], offset: tuple[float, float] = (0, 0)
) -> NDArray[np.bool_]:
    """Where every nucleus is annotated, `(height, width)`; True everywhere without regions.

    Args:
        annotation: Its labelled regions count, nothing else.
        size: Height and width of the mask.
        offset: Image x, y of the mask's first pixel.
    """
    if not annotation.labelled_regions:
        return np.ones(size, bool)
    mask = np.zeros(size, bool)
    for region in annotation.labelled_regions:
        mask |= polygon_mask(region, size, offset)
    return mask


def region_label_map(
    annotation: Annotation, size: tuple[int, int], classes: Sequence[str]
) -> NDArray[np.uint8]:
    """Region labels `(height, width)` uint8: 0 unknown, k the class `classes[k - 1]`.

    Where regions overlap, the later one holds. Classes that are not listed stay unknown.
    """
    labels = np.zeros(size, np.uint8)
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    for name, region in annotation.region_labels:
        if name in numbers:
            labels[polygon_mask(region, size)] = numbers[name]
    return labels


def regions_inside(annotation: Annotation, size: tuple[int, int]) -> Annotation:
    """The annotation with its region labels cut at the edges of its image `(height, width)`.

    Patches mirror an image at its edges, and what a region says there is said of no tissue.
    """
    if not annotation.region_labels:
        return annotation
    whole = shapely.box(-0.5, -0.5, size[1] - 0.5, size[0] - 0.5)
    cut = (
        (name, shapely.make_valid(region).intersection(whole))
        for name, region in annotation.region_labels
    )
    return replace(
        annotation, region_labels=tuple((name, part) for name, part in cut if not part.is_empty)
    )


def polygon_mask(
    geometry: BaseGeometry, size: tuple[int, int], offset: tuple[float, float] = (0, 0)
) -> NDArray[np.bool_]:
    """Pixels `(height, width)` whose centre lies inside; holes and several parts are respected.

    A pixel exactly on the outline is outside, as `shapely.contains` has it. Lines and points
    cover nothing.
    """
    mask = np.zeros(size, bool)
    for polygon in _polygons(shapely.make_valid(geometry)):
        mask |= _one_polygon_mask(polygon, size, offset)
    return mask


def _one_polygon_mask(
    polygon: Polygon, size: tuple[int, int], offset: tuple[float, float]
) -> NDArray[np.bool_]:
    height, width = size
    left, top = offset[0] - _FRAME, offset[1] - _FRAME
    inner = np.zeros((height + 2 * _FRAME, width + 2 * _FRAME), np.uint8)
    near = np.zeros_like(inner)
    rings = [_drawable(r, (left, top), inner.shape) for r in (polygon.exterior, *polygon.interiors)]
    rings = [ring for ring in rings if len(ring)]
    if not rings:
        return np.zeros(size, bool)
    cv2.fillPoly(inner, rings, 1, shift=_FRACTION_BITS)
    cv2.polylines(near, rings, True, 1, thickness=3, shift=_FRACTION_BITS)
    # OpenCV rounds; only within two pixels of the outline can that matter, so look there.
    rows, columns = np.nonzero(cv2.dilate(near, np.ones((3, 3), np.uint8)))
    shapely.prepare(polygon)
    inner[rows, columns] = shapely.contains_xy(polygon, columns + left, rows + top)
    return inner[_FRAME : _FRAME + height, _FRAME : _FRAME + width].astype(bool)


def crop_annotation(
    annotation: Annotation, *, x0: int, y0: int, width: int, height: int, margin: float = 0
) -> Annotation:
    """What is known of the window whose first pixel is `x0`, `y0`, in its own coordinates.

    Nuclei up to `margin` pixels outside are kept, since their radius may reach in, and so are
    those of whose instance a pixel lies inside. Regions are moved whole.
    """
    points = annotation.points - np.array([x0, y0], np.float32)
    low, high = -0.5 - margin, np.array([width, height]) - 0.5 + margin
    keep = np.all((points >= low) & (points <= high), axis=1)
    instances = None
    if annotation.instances is not None:
        instances = _window(annotation.instances, x0=x0, y0=y0, width=width, height=height)
        instances, keep = keep_visible(instances, keep)
    kept = np.flatnonzero(keep)
    outlines = [annotation.outlines[i] for i in kept] if annotation.outlines else []
    return Annotation(
        points=points[kept],
        classes=tuple(annotation.classes[i] for i in kept),
        instances=instances,
        outlines=tuple(None if o is None else _moved(o, x0, y0) for o in outlines),
        labelled_regions=tuple(_moved(r, x0, y0) for r in annotation.labelled_regions),
        region_labels=tuple((name, _moved(r, x0, y0)) for name, r in annotation.region_labels),
        properties=tuple(annotation.properties[i] for i in kept) if annotation.properties else (),
        positives_only=annotation.positives_only,
    )


def keep_visible(
    instances: NDArray[np.int32], keep: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Number the instances of a window anew, after the nuclei that stay.

    Args:
        instances: `(height, width)`, numbered after all nuclei of the image.
        keep: `(N,)`, nuclei that stay anyway.

    Returns:
        The instances numbered after the nuclei that stay, and which these are: `keep` and all
        of which a pixel shows.
    """
    count = len(keep)
    seen = np.bincount(instances.ravel(), minlength=count + 1)
    keep = keep | (seen[1 : count + 1] > 0)
    numbers = np.zeros(len(seen), np.int32)
    numbers[1 : count + 1][keep] = np.arange(1, keep.sum() + 1)
    return numbers[instances], keep


def _window(
    labels: NDArray[np.int32], *, x0: int, y0: int, width: int, height: int
) -> NDArray[np.int32]:
    """A window of a label map, 0 where it reaches beyond the map."""
    window = np.zeros((height, width), np.int32)
    rows, columns = labels.shape
    top, left = max(y0, 0), max(x0, 0)
    bottom, right = min(y0 + height, rows), min(x0 + width, columns)
    if top < bottom and left < right:
        window[top - y0 : bottom - y0, left - x0 : right - x0] = labels[top:bottom, left:right]
    return window


def _moved(geometry: BaseGeometry, x0: float, y0: float) -> BaseGeometry:
    return shapely.transform(geometry, lambda positions: positions - (x0, y0))


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    parts = shapely.get_parts(geometry)
    if any(part.geom_type in ("MultiPolygon", "GeometryCollection") for part in parts):
        return [polygon for part in parts for polygon in _polygons(part)]
    return [part for part in parts if part.geom_type == "Polygon" and not part.is_empty]


def _drawable(
    ring: BaseGeometry, first: tuple[float, float], size: tuple[int, ...]
) -> NDArray[np.int32]:
    """Corners `(N, 2)` for OpenCV, cut at the canvas, since long edges would lose precision."""
    corners = np.asarray(shapely.get_coordinates(ring)[:-1] - first)
    for axis, last in ((0, size[1] - 1), (1, size[0] - 1)):
        corners = _cut_below(corners, axis, 0)
        corners = -_cut_below(-corners, axis, -last)
    drawn: NDArray[np.int32] = np.rint(corners * 2**_FRACTION_BITS).astype(np.int32)
    return drawn


def _cut_below(corners: NDArray[np.float64], axis: int, bound: float) -> NDArray[np.float64]:
    """The ring without what lies below `bound` along `axis` (Sutherland and Hodgman 1974)."""
    following = np.roll(corners, -1, axis=0)
    above = corners[:, axis] >= bound
    crossing = above != np.roll(above, -1)
    rise = np.where(crossing, following[:, axis] - corners[:, axis], 1.0)
    share = np.where(crossing, (bound - corners[:, axis]) / rise, 0.0)
    crossings = corners + share[:, None] * (following - corners)
    both = np.stack([corners, crossings], axis=1)
    kept: NDArray[np.float64] = both[np.stack([above, crossing], axis=1)]
    return kept
