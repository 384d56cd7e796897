"""How two instance maps of one image agree: AJI, AJI+, panoptic quality and Dice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Index = NDArray[np.intp]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class Ratio(NamedTuple):
    """A part of a whole; of several images the sums pool them."""

    part: float
    whole: float

    @property
    def value(self) -> float:
        """Part by whole, and 1 of nothing: where there is nothing, nothing was missed."""
        return self.part / self.whole if self.whole else 1.0


class Panoptic(NamedTuple):
    """What panoptic quality counts: true, false and missed instances, and the IoU of the true."""

    n_true: int
    n_false: int
    n_missed: int
    iou: float

    @property
    def dq(self) -> float:
        """Detection quality, the F1 of instances: TP / (TP + ½ FP + ½ FN); 1 of nothing."""
        return Ratio(self.n_true, self.n_true + (self.n_false + self.n_missed) / 2).value

    @property
    def sq(self) -> float:
        """Segmentation quality, the mean IoU of true instances; 0 where there is none to find."""
        if not self.n_true:
            return 0.0 if self.n_false + self.n_missed else 1.0
        return self.iou / self.n_true

    @property
    def pq(self) -> float:
        """Panoptic quality, DQ × SQ (Kirillov et al. 2019)."""
        return self.dq * self.sq


@dataclass(frozen=True, eq=False)
class Overlap:
    """Which instances of two maps share how many pixels: all that the figures need.

    Attributes:
        truth: Position of the annotated instance of each pair that overlaps, rising, `(P,)`.
        found: Of the detected one, rising for each annotated one.
        pixels: That they share.
        truth_areas: Pixels of each annotated instance, `(N,)`.
        found_areas: Of each detected one, `(M,)`; 0 for one without a pixel, which counts nowhere.
    """

    truth: Index
    found: Index
    pixels: Counts
    truth_areas: Counts
    found_areas: Counts

    @classmethod
    def of(
        cls,
        truth: NDArray[np.int32],
        found: NDArray[np.int32],
        known: NDArray[np.bool_] | None = None,
    ) -> Overlap:
        """The overlap of two instance maps `(H, W)`, 0 background, in time linear in their size.

        Args:
            truth: Annotated.
            found: Detected.
            known: Pixels that count, all by default; instances are cut at their rim.

        Raises:
            ValueError: the maps differ in shape.
        """
        if truth.shape != found.shape:
            raise ValueError(f"the maps differ in shape: {truth.shape} and {found.shape}")
        counted = slice(None) if known is None else known.ravel()
        one, other = truth.ravel()[counted], found.ravel()[counted]
        areas = [np.bincount(numbers, minlength=1)[1:] for numbers in (one, other)]
        both = np.flatnonzero((one > 0) & (other > 0))
        shape = (len(areas[0]), len(areas[1]))
        ones = np.ones(len(both), np.int64)
        table = coo_array((ones, (one[both] - 1, other[both] - 1)), shape=shape).tocsr()
        table.sum_duplicates()
        pairs = table.tocoo()
        return cls(
            pairs.row.astype(np.intp), pairs.col.astype(np.intp), pairs.data, areas[0], areas[1]
        )

    def keeping(self, kept: NDArray[np.bool_]) -> Overlap:
        """The overlap with only those detected instances; positions stay.

        Args:
            kept: `(M',)`, at least M.
        """
        pairs = kept[self.found]
        return replace(
            self,
            truth=self.truth[pairs],
            found=self.found[pairs],
            pixels=self.pixels[pairs],
            found_areas=np.where(kept[: len(self.found_areas)], self.found_areas, 0),
        )

    @cached_property
    def unions(self) -> Counts:
        """Pixels that each pair covers together."""
        covered: Counts = self.truth_areas[self.truth] + self.found_areas[self.found] - self.pixels
        return covered

    @cached_property
    def ious(self) -> Floats:
        """Intersection over union of each pair."""
        return np.asarray(self.pixels / self.unions, np.float64)

    @property
    def n_truth(self) -> int:
        """Annotated instances."""
        return int(np.count_nonzero(self.truth_areas))

    @property
    def n_found(self) -> int:
        """Detected instances."""
        return int(np.count_nonzero(self.found_areas))

    def dice(self) -> Ratio:
        """Of the pixels of all instances, 2 |A and B| / (|A| + |B|): the F1 of pixels.

        Paper 003, Eq. 5.
        """
        whole = self.truth_areas.sum() + self.found_areas.sum()
        return Ratio(2.0 * float(self.pixels.sum()), float(whole))

    def aji(self) -> Ratio:
        """Aggregated Jaccard index (Kumar et al. 2017, algorithm 1; paper 003, Eq. 6).

        Each annotated instance takes the detected one of greatest IoU, the first of equals. One
        that several take counts for each of them. Where none overlaps, the annotated instance
        alone is added to the whole, as are in the end the detected ones that none took.
        """
        order = np.lexsort((self.found, -self.ious, self.truth))
        _, first = np.unique(self.truth[order], return_index=True)
        return self._jaccard(order[first])

    def aji_plus(self) -> Ratio:
        """AJI+ (Graham et al. 2019): the same, but one-to-one, at the greatest sum of IoU."""
        return self._jaccard(self._one_to_one())

    def panoptic(self) -> Panoptic:
        """Instances that agree by an IoU above ½, of which each has at most one."""
        true = self.ious > 0.5
        n_true = int(np.count_nonzero(true))
        return Panoptic(
            n_true, self.n_found - n_true, self.n_truth - n_true, float(self.ious[true].sum())
        )

    def _jaccard(self, pairs: Index) -> Ratio:
        whole = self.unions[pairs].sum()
        for areas, taken in (
            (self.truth_areas, self.truth[pairs]),
            (self.found_areas, self.found[pairs]),
        ):
            left = areas.copy()
            left[taken] = 0
            whole += left.sum()
        return Ratio(float(self.pixels[pairs].sum()), float(whole))

    def _one_to_one(self) -> Index:
        """The pairs of the assignment with the greatest sum of IoU, component by component."""
        if not len(self.truth):
            return np.zeros(0, np.intp)
        n_truth, n_all = len(self.truth_areas), len(self.truth_areas) + len(self.found_areas)
        graph = coo_array((self.pixels, (self.truth, n_truth + self.found)), shape=(n_all, n_all))
        component = connected_components(graph, directed=False)[1][self.truth]
        order = np.argsort(component, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
        return np.concatenate([g if len(g) == 1 else self._assigned(g) for g in groups])

    def _assigned(self, pairs: Index) -> Index:
        rows, row = np.unique(self.truth[pairs], return_inverse=True)
        columns, column = np.unique(self.found[pairs], return_inverse=True)
        worth = np.zeros((len(rows), len(columns)))
        worth[row, column] = self.ious[pairs]
        place = np.full(worth.shape, -1)
        place[row, column] = pairs
        chosen = place[linear_sum_assignment(worth, maximize=True)]
        taken: Index = chosen[chosen >= 0]
        return taken
