"""Which pixels lie in the outlines of nuclei."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LinearRing
from shapely.geometry.base import BaseGeometry
from skimage.draw import polygon as fill_polygon

from transfer_kit.data.annotation import Annotation

Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]


def instances_of(annotation: Annotation, size: tuple[int, int]) -> NDArray[np.int32] | None:
    """Instances `(H, W)`, 0 background, k the nucleus `points[k - 1]`.

    The annotation's own map, or its outlines filled. None where a nucleus has only a centre.
    """
    if annotation.instances is not None:
        return annotation.instances
    if len(annotation) and None in (annotation.outlines or (None,)):
        return None
    return filled_outlines(annotation, size)


def filled_outlines(annotation: Annotation, size: tuple[int, int]) -> NDArray[np.int32]:
    """Instances `(H, W)`, 0 background, k the nucleus `points[k - 1]`, if it has an outline.

    An outline that reaches in from outside of `size` (height, width) has the pixels inside.
    """
    filled = np.zeros(size, np.int32)
    for k, rows, columns in pixels_of_outlines(annotation, size):
        filled[rows, columns] = k + 1
    return filled


def pixels_of_outlines(
    annotation: Annotation, size: tuple[int, int]
) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.intp]]]:
    """Position, rows and columns of each nucleus with an outline, from the largest to the smallest.

    Painted one after another they give an instance map in which a pixel belongs to the polygon
    that holds its centre, and where nuclei overlap to the smaller one. An outline thinner than a
    pixel has the pixel at its centre; one outside of `size` (height, width) has none.
    """
    drawn = [k for k, outline in enumerate(annotation.outlines) if outline is not None]
    areas = shapely.area(np.array([annotation.outlines[k] for k in drawn], dtype=object))
    for place in np.argsort(areas, kind="stable")[::-1].tolist():
        k = drawn[place]
        rows, columns = pixels_in(annotation.outlines[k], size)
        if not len(rows):
            columns, rows = np.rint(annotation.points[k : k + 1].T).astype(np.intp)
            if not (0 <= rows[0] < size[0] and 0 <= columns[0] < size[1]):
                rows, columns = rows[:0], columns[:0]
        yield k, rows, columns


def pixels_in(outline: BaseGeometry | None, size: tuple[int, int]) -> Pixels:
    """Rows and columns of the pixels whose centres lie in a polygon, holes left out."""
    inside: list[NDArray[np.intp]] = []
    for part in shapely.get_parts(outline).tolist():
        exterior = _pixels_in_ring(part.exterior, size)
        holes = [_pixels_in_ring(ring, size) for ring in part.interiors]
        inside.append(np.setdiff1d(exterior, np.concatenate(holes)) if holes else exterior)
    rows, columns = np.unravel_index(np.concatenate(inside), size)
    return rows, columns


def _pixels_in_ring(ring: LinearRing, size: tuple[int, int]) -> NDArray[np.intp]:
    x, y = np.asarray(ring.coords).T[:2]
    rows, columns = fill_polygon(y, x, size)
    return np.asarray(np.ravel_multi_index((rows, columns), size), np.intp)
