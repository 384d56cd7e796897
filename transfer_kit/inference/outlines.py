"""The outlines of instances, along the edges of their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Flags = NDArray[np.bool_]


def outlines_of(instances: NDArray[np.int32], count: int) -> tuple[BaseGeometry | None, ...]:
    """The polygon of each instance, such that filling it gives the instance back.

    Its corners are corners of pixels, half a pixel from their centres, so that its area is the
    number of pixels and its centroid their mean. Holes are its interior rings. An instance in
    several pieces, also such as touch at a corner alone, is one MultiPolygon, which QuPath opens
    as one object.

    Args:
        instances: `(H, W)`, 0 background.
        count: Number of instances; one without a pixel has no outline.

    Example:
        >>> outlines_of(np.array([[1, 1, 2]], np.int32), 2)[1].bounds
        (1.5, -0.5, 2.5, 0.5)
    """
    padded = np.pad(instances, 1)
    across, down = padded[:-1] != padded[1:], padded[:, :-1] != padded[:, 1:]
    edges = np.concatenate([_runs(across, down), _runs(down.T, across.T)[:, ::-1, ::-1]])
    lines = np.asarray(shapely.linestrings(edges), dtype=object)
    faces = shapely.get_parts(shapely.polygonize(lines))
    inside = np.floor(shapely.get_coordinates(shapely.point_on_surface(faces))).astype(np.intp)
    owner = padded[inside[:, 1], inside[:, 0]]
    # A pixel's first corner is half a pixel before its centre, and the rim a pixel before that.
    drawn = shapely.transform(faces[owner > 0], lambda corners: corners - 1.5)
    order = np.argsort(owner[owner > 0], kind="stable")
    numbers, first = np.unique(owner[owner > 0][order], return_index=True)
    pieces = dict(zip(numbers.tolist(), np.split(drawn[order], first[1:]), strict=False))
    return tuple(_joined(pieces.get(number)) for number in range(1, count + 1))


def _runs(across: Flags, down: Flags) -> NDArray[np.float64]:
    """Straight runs of edges `(E, 2, 2)`, first and last corner as x and y, ended at crossings.

    Args:
        across: Whether there is an edge along each side `(H - 1, W)` between two rows.
        down: Along each side `(H, W - 1)` between two columns.
    """
    height, width = across.shape
    crossed = np.zeros((height, width + 1), np.bool_)
    crossed[:, 1:-1] = down[:-1] | down[1:]
    goes_on = across[:, 1:] & across[:, :-1] & ~crossed[:, 1:-1]
    starts, ends = across.copy(), across.copy()
    starts[:, 1:] &= ~goes_on
    ends[:, :-1] &= ~goes_on
    y, first = np.nonzero(starts)
    last = np.nonzero(ends)[1] + 1
    return np.stack([first, y + 1, last, y + 1], axis=1).reshape(-1, 2, 2).astype(np.float64)


def _joined(pieces: NDArray[Any] | None) -> BaseGeometry | None:
    if pieces is None:
        return None
    return pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(list(pieces))
