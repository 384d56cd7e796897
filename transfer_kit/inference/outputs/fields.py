"""Counts in fields of tissue, and what other fields of the same kind might give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.special import gammainccinv, gammaincinv
from shapely.geometry.base import BaseGeometry

from transfer_kit.evaluation.statistics import RESAMPLES, Interval
from transfer_kit.inference.found import FoundNuclei

SIDES_UM = (500.0, 250.0)
ENOUGH = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fields:
    """Squares that cover an area, those at its rim cut.

    Attributes:
        areas_mm2: `(F,)`, each above 0.
        counts: `(F, K)` nuclei of each class.
    """

    areas_mm2: Floats
    counts: Floats

    def __len__(self) -> int:
        return len(self.areas_mm2)


def side_for(area_mm2: float) -> float:
    """Side of a field in µm: 500 where that leaves 100 fields, 250 otherwise.

    Wide fields hold whole clusters of nuclei, many fields tell how much they differ.
    """
    enough = (side for side in SIDES_UM if area_mm2 >= ENOUGH * (side / 1000) ** 2)
    return next(enough, SIDES_UM[-1])


def fields_of(found: FoundNuclei, area: BaseGeometry, mpp: float, *, field_um: float) -> Fields:
    """Cut an area into squares from its upper left corner on, and count the nuclei of each.

    Args:
        found: The nuclei of the area, none else.
        area: In pixels of level 0.
        mpp: µm per pixel.
        field_um: Side of a square.
    """
    if area.is_empty:
        return Fields(np.zeros(0), np.zeros((0, len(found.classes))))
    side = field_um / mpp
    left, top, right, bottom = area.bounds
    width, height = (max(int(np.ceil(span / side)), 1) for span in (right - left, bottom - top))
    counts = np.zeros((height, width, len(found.classes)))
    columns, rows = ((found.points - (left, top)) // side).astype(np.intp).T
    places = (rows.clip(0, height - 1), columns.clip(0, width - 1), found.kinds.astype(np.intp))
    np.add.at(counts, places, 1)
    areas = _areas(area, (left, top), side, (height, width)) * (mpp / 1000) ** 2
    there = areas > 0
    return Fields(areas[there], counts[there])


def _areas(
    area: BaseGeometry, corner: tuple[float, float], side: float, shape: tuple[int, int]
) -> Floats:
    """Area of each square's part, row by row, so that a long outline is cut once a row."""
    (left, top), (height, width) = corner, shape
    starts = left + side * np.arange(width)
    areas = np.zeros(shape)
    for row in range(height):
        above = top + side * row
        strip = area.intersection(shapely.box(left, above, left + side * width, above + side))
        tops = np.full(width, above)
        squares = shapely.box(starts, tops, starts + side, tops + side)
        areas[row] = shapely.area(shapely.intersection(squares, strip))
    return areas


def resampled(
    fields: Fields, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[Floats, Floats]:
    """Areas `(R,)` and counts `(R, K)` of as many fields, drawn with replacement.

    A spatial block bootstrap: nuclei that lie together are drawn together, so that clusters
    smaller than a field widen the interval as they should; larger ones do so only in part.
    """
    rng, count = np.random.default_rng(seed), len(fields)
    rows = np.column_stack([fields.areas_mm2, fields.counts])
    sums = np.empty((resamples, rows.shape[1]))
    for k in range(resamples):
        sums[k] = np.bincount(rng.integers(0, count, count), minlength=count) @ rows
    return sums[:, 0], sums[:, 1:]


def percentiles(figures: Floats, level: float = 0.95) -> Interval:
    """The middle of resampled figures; those that are no number are left out."""
    finite = figures[np.isfinite(figures)]
    if not len(finite):
        return Interval(None, None)
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a Poisson mean (Garwood 1936), for nuclei that keep no company."""
    tail = (1 - level) / 2
    low = gammaincinv(count, tail) if count else 0.0
    return float(low), float(gammainccinv(count + 1, tail))
