"""Nuclei sorted into square cells of the image, so that only those in view are looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.inference.found import FoundNuclei

_WANTED = 500
"""Nuclei a cell, about: a view holds some tens of cells."""

_SIDES = (256, 16384)


class Window(NamedTuple):
    """A part of the image in pixels of level 0; what lies on the far sides is outside."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, eq=False)
class Cells:
    """The nuclei of one image, cell by cell in reading order.

    Attributes:
        nuclei: Sorted by cell.
        order: Position of each in what they were made of.
        starts: `(rows * columns + 1,)` where each cell begins in `nuclei`.
        side: Of a cell in pixels, a power of two.
        shape: Number of rows and columns.
        usual: Nuclei a pixel where they lie dense.
    """

    nuclei: FoundNuclei
    order: NDArray[np.intp]
    starts: NDArray[np.int64]
    side: int
    shape: tuple[int, int]
    usual: float

    @classmethod
    def of(cls, nuclei: FoundNuclei, size: tuple[int, int]) -> Cells:
        """Nuclei of an image of `size`, `(height, width)`; those outside go to the nearest cell."""
        height, width = size
        wanted = math.sqrt(_WANTED * height * width / max(len(nuclei), 1))
        side = 2 ** round(math.log2(min(max(wanted, _SIDES[0]), _SIDES[1])))
        shape = (-(-height // side), -(-width // side))
        column = np.clip(nuclei.points[:, 0] // side, 0, shape[1] - 1).astype(np.int64)
        row = np.clip(nuclei.points[:, 1] // side, 0, shape[0] - 1).astype(np.int64)
        cell = row * shape[1] + column
        order = np.argsort(cell, kind="stable")
        counts = np.bincount(cell, minlength=shape[0] * shape[1])
        starts = np.concatenate([[0], np.cumsum(counts)])
        filled = counts[counts > 0]
        usual = float(np.percentile(filled, 90)) / side**2 if len(filled) else 1.0
        return cls(nuclei.take(order), order, starts, side, shape, usual)

    def __len__(self) -> int:
        return len(self.nuclei)

    def __contains__(self, place: tuple[int, int]) -> bool:
        """Whether there is a cell at column and row."""
        return 0 <= place[0] < self.shape[1] and 0 <= place[1] < self.shape[0]

    def packed(self, column: int, row: int) -> bytes:
        """One cell for the page, as little-endian arrays one after the other.

        uint32 number of nuclei N and position of the first one in `nuclei`; float32 x, y and
        score, each N; uint32 class number N; uint32 number of outline rings R, uint32 ring's
        nucleus R, uint32 first corner of each ring and the end R + 1; float32 x, y of the corners.
        """
        cell = row * self.shape[1] + column
        first, last = int(self.starts[cell]), int(self.starts[cell + 1])
        part = slice(first, last)
        parts = [
            np.array([last - first, first], "<u4"),
            self.nuclei.points[part, 0].astype("<f4"),
            self.nuclei.points[part, 1].astype("<f4"),
            self.nuclei.scores[part].astype("<f4"),
            self.nuclei.kinds[part].astype("<u4"),
            *_rings(None if self.nuclei.outlines is None else self.nuclei.outlines[part]),
        ]
        return b"".join(array.tobytes() for array in parts)

    def shown(
        self, window: Window, threshold: float, hidden: frozenset[int] = frozenset()
    ) -> NDArray[np.bool_]:
        """Which nuclei lie in a window, from a score on, and in no hidden class."""
        x, y = self.nuclei.points.T
        inside = (x >= window.left) & (x < window.right) & (y >= window.top) & (y < window.bottom)
        inside &= self.nuclei.scores >= threshold
        if hidden:
            inside &= ~np.isin(self.nuclei.kinds, sorted(hidden))
        return np.asarray(inside, bool)

    def counts(self, shown: NDArray[np.bool_]) -> list[int]:
        """How many of each class."""
        counts = np.bincount(self.nuclei.kinds[shown], minlength=len(self.nuclei.classes))
        return [int(count) for count in counts]

    def density(self, shown: NDArray[np.bool_], window: Window, bin_px: int) -> NDArray[np.uint8]:
        """How dense nuclei lie in a window, `(rows, columns)` of square bins: 255 is very dense."""
        columns = math.ceil((window.right - window.left) / bin_px)
        rows = math.ceil((window.bottom - window.top) / bin_px)
        x, y = self.nuclei.points[shown].T
        column = ((x - window.left) // bin_px).astype(np.int64)
        row = ((y - window.top) // bin_px).astype(np.int64)
        counts = np.bincount(row * columns + column, minlength=rows * columns)
        level = np.sqrt(np.minimum(counts / (2 * self.usual * bin_px**2), 1))
        return np.asarray(np.rint(255 * level), np.uint8).reshape(rows, columns)


def _rings(outlines: NDArray[Any] | None) -> list[NDArray[Any]]:
    if outlines is None:
        return [np.array([0, 0], "<u4")]
    parts, owner = shapely.get_parts(outlines, return_index=True)
    rings = shapely.get_exterior_ring(parts)
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    ends = np.cumsum(np.bincount(ring, minlength=len(rings)))
    return [
        np.array([len(rings)], "<u4"),
        owner.astype("<u4"),
        np.concatenate([[0], ends]).astype("<u4"),
        corners.astype("<f4"),
    ]
