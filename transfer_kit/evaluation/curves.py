"""Precision and recall at every threshold, exactly, from one pass over the detections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from transfer_kit.errors import UserError
from transfer_kit.evaluation.counting import (
    Counts,
    Evaluated,
    assign,
    inside_labelled,
    near_unlabelled,
    refuse_only_marked,
)
from transfer_kit.evaluation.matching import Index, allowed_pairs
from transfer_kit.evaluation.statistics import Floats, precision_recall_f1

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Pooled counts of a set of images at each threshold that makes a difference.

    Attributes:
        thresholds: Every score of a detection once, falling, `(K,)`; at each, all detections with
            at least this score are kept.
        counts: True, false and missed at each, `(K, 3)`.
        n_nuclei: Nuclei inside labelled regions.
        radius_um: Largest distance of a match in µm.
    """

    thresholds: Floats
    counts: Counts
    n_nuclei: int
    radius_um: float

    @property
    def precision(self) -> Floats:
        """Precision at each threshold."""
        return precision_recall_f1(self.counts)[0]

    @property
    def recall(self) -> Floats:
        """Recall at each threshold."""
        return precision_recall_f1(self.counts)[1]

    @property
    def f1(self) -> Floats:
        """F1 at each threshold."""
        return precision_recall_f1(self.counts)[2]

    @property
    def average_precision(self) -> float | None:
        """Area under the curve, `AP = sum_k (R_k - R_{k-1}) P_k` with `R_0 = 0`.

        A sum of steps without interpolation, as scikit-learn's `average_precision_score`; but
        recall is of all nuclei, so that what no threshold finds lowers the area. None where there
        is no nucleus.
        """
        if not self.n_nuclei:
            return None
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision))

    def counts_at(self, threshold: float) -> Counts:
        """True, false and missed with the detections whose score is at least `threshold`."""
        kept = int(np.searchsorted(-self.thresholds, -threshold, side="right"))
        nothing = np.array([0, 0, self.n_nuclei])
        counts: Counts = self.counts[kept - 1] if kept else nothing
        return counts


def precision_recall_curve(pairs: Iterable[Evaluated], *, radius_um: float) -> PrecisionRecallCurve:
    """The curve of all images together, equal to scoring them anew at every threshold.

    The number of true detections at a threshold is the size of a largest matching of the
    detections kept. Taken in falling order of score, one more detection raises it by one exactly
    if an augmenting path starts at it (Berge 1957; the rank of a transversal matroid), so one
    pass gives all thresholds. Only groups of points of which one lies outside the labelled regions
    or near their rim are matched again at each of their scores.

    Raises:
        UserError: there is no image, or one of which only some nuclei are marked.
    """
    images = list(pairs)
    if not images:
        raise UserError("There is no image to score; give at least one with annotations.")
    refuse_only_marked(images)
    return pool_curves([_curve_of(image, radius_um) for image in images])


def pool_curves(curves: Sequence[PrecisionRecallCurve]) -> PrecisionRecallCurve:
    """The curve of several sets of images together, at one radius.

    Raises:
        ValueError: there is no curve, or the radii differ.
    """
    radii = {curve.radius_um for curve in curves}
    if len(radii) != 1:
        raise ValueError(f"curves of one radius are needed, but got radii {sorted(radii)}")
    n_nuclei = sum(curve.n_nuclei for curve in curves)
    scores = np.concatenate([curve.thresholds for curve in curves])
    steps = np.concatenate(
        [np.diff(curve.counts, axis=0, prepend=[[0, 0, curve.n_nuclei]]) for curve in curves]
    )
    return _accumulated(scores, steps, n_nuclei, radii.pop())


def _accumulated(
    scores: Floats, steps: Counts, n_nuclei: int, radius_um: float
) -> PrecisionRecallCurve:
    order = np.argsort(-scores, kind="stable")
    scores, steps = scores[order], steps[order]
    last = np.flatnonzero(np.diff(scores, append=-np.inf))
    counts = np.cumsum(steps, axis=0)[last] + np.array([0, 0, n_nuclei])
    return PrecisionRecallCurve(scores[last], counts, n_nuclei, float(radius_um))


def _curve_of(image: Evaluated, radius_um: float) -> PrecisionRecallCurve:
    radius_px = radius_um / image.mpp
    known = inside_labelled(image.truth.points, image.truth, image.size)
    counted = inside_labelled(image.found.points, image.truth, image.size)
    excused = near_unlabelled(image.found.points, image.truth, image.size, radius_px)
    nucleus, detection, _ = allowed_pairs(image.truth.points, image.found.points, radius_px)
    scores = image.found.scores.astype(np.float64)
    rim_nuclei, rim_found = _at_the_rim(known, counted & ~excused, nucleus, detection)

    clear = counted & ~rim_found
    order = np.flatnonzero(clear)
    order = order[np.argsort(-scores[order], kind="stable")]
    apart = clear[detection] & known[nucleus]
    rank = np.empty(len(counted), np.intp)
    rank[order] = np.arange(len(order))
    true = _finds_one_more(nucleus[apart], rank[detection[apart]], len(known), len(order))
    steps = np.where(true[:, None], [1, 0, -1], [0, 1, 0])
    inside = _Inside(known, counted, excused)
    levels, rim_steps = _rim_changes(image, inside, rim_nuclei, rim_found, radius_px)
    return _accumulated(
        np.concatenate([scores[order], levels]),
        np.concatenate([steps, rim_steps]),
        int(known.sum()),
        radius_um,
    )


class _Inside(NamedTuple):
    """Which nuclei and detections lie in labelled regions, and which are excused; see `assign`."""

    known: Flags
    counted: Flags
    excused: Flags


def _at_the_rim(
    known: Flags, counted: Flags, nucleus: Index, detection: Index
) -> tuple[Flags, Flags]:
    """Which nuclei and detections hang together with one that does not simply count."""
    total = len(known) + len(counted)
    if known.all() and counted.all():
        return np.zeros(len(known), bool), np.zeros(len(counted), bool)
    joined = coo_array(
        (np.ones(len(nucleus), bool), (nucleus, len(known) + detection)), shape=(total, total)
    )
    component = connected_components(joined, directed=False)[1]
    outside = ~np.concatenate([known, counted])
    together = np.isin(component, component[outside])
    return together[: len(known)], together[len(known) :]


def _rim_changes(
    image: Evaluated,
    inside: _Inside,
    rim_nuclei: Flags,
    rim_found: Flags,
    radius_px: float,
) -> tuple[Floats, Counts]:
    levels = np.unique(image.found.scores[rim_found])[::-1]
    rows = [np.array([0, 0, int((inside.known & rim_nuclei).sum())])]
    for level in levels:
        kept = rim_found & (image.found.scores >= level)
        assigned = assign(
            image.truth.points[rim_nuclei],
            image.found.points[kept],
            known=inside.known[rim_nuclei],
            counted=inside.counted[kept],
            excused=inside.excused[kept],
            radius_px=radius_px,
        )
        rows.append(assigned.counts)
    return levels.astype(np.float64), np.diff(np.array(rows), axis=0)


def _finds_one_more(nucleus: Index, rank: Index, n_nuclei: int, n_found: int) -> Flags:
    """Whether the detection of each rank lets one more nucleus be matched than those before.

    Args:
        nucleus: Nucleus of each allowed pair.
        rank: Its detection, counted from 0 in falling order of score.
        n_nuclei: Number of nuclei.
        n_found: Number of detections.
    """
    ends = np.cumsum(np.bincount(rank, minlength=n_found))
    near = np.split(nucleus[np.argsort(rank, kind="stable")], ends[:-1])
    owner, held, closed = [-1] * n_nuclei, [-1] * n_found, [False] * n_nuclei
    nearby = [part.tolist() for part in near[:n_found]]
    return np.array([_augment(one, nearby, owner, held, closed) for one in range(n_found)], bool)


def _augment(
    start: int, near: list[list[int]], owner: list[int], held: list[int], closed: list[bool]
) -> bool:
    """Match detection `start` by a shortest augmenting path, if there is one.

    A search that fails closes off the nuclei that it saw: no later detection can free one.
    """
    came_from: dict[int, int] = {}
    queue = [start]
    for detection in queue:
        for nucleus in near[detection]:
            if closed[nucleus] or nucleus in came_from:
                continue
            came_from[nucleus] = detection
            if owner[nucleus] >= 0:
                queue.append(owner[nucleus])
                continue
            while nucleus >= 0:
                holder = came_from[nucleus]
                owner[nucleus], held[holder], nucleus = holder, nucleus, held[holder]
            return True
    for nucleus in came_from:
        closed[nucleus] = True
    return False
