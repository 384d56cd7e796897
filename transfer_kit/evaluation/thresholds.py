"""The threshold on a detector's scores, chosen by F1 on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transfer_kit.errors import UserError
from transfer_kit.evaluation.counting import Evaluated
from transfer_kit.evaluation.curves import (
    PrecisionRecallCurve,
    pool_curves,
    precision_recall_curve,
)
from transfer_kit.evaluation.statistics import pooled_f1, precision_recall_f1


@dataclass(frozen=True, eq=False)
class Threshold:
    """A threshold and why it was chosen.

    Attributes:
        value: Detections whose score is at least this are kept.
        f1: Pooled F1 at it on the images that it was chosen on.
        curve: What every threshold gives on these images.
    """

    value: float
    f1: float
    curve: PrecisionRecallCurve


@dataclass(frozen=True)
class CrossValidated:
    """F1 of cases at thresholds that they had no part in.

    Attributes:
        f1: Pooled F1 of all cases, each at the threshold chosen on the others.
        thresholds: That threshold, by case.
    """

    f1: float
    thresholds: Mapping[str, float]


def best_threshold(
    pairs: Iterable[Evaluated], *, radius_um: float, candidates: Sequence[float] | None = None
) -> Threshold:
    """The threshold of the best pooled F1, from the middle of the plateau on which it lies.

    Every threshold that makes a difference is compared. With few labels the very best is an
    accident of a nucleus or two, so the plateau is the run of thresholds around it with an F1
    within one standard error, `sqrt(F1 (1 - F1) / nuclei)` (the one-standard-error rule of
    Breiman et al. 1984, section 3.4.3), and its middle is taken. On simulated detections this
    cut what other images lose against their own best F1 by a third with 20 to 150 labelled
    nuclei, and by a seventh with 750 to 3 000.

    Args:
        pairs: Labelled images that are not those that the detector will be judged on.
        radius_um: Largest distance of a match in µm.
        candidates: The only thresholds allowed; then the middle one of the plateau is taken.

    Returns:
        The threshold; 0 where nothing was detected at any score.

    Raises:
        UserError: there is no image, or no annotated nucleus.
    """
    return _chosen(precision_recall_curve(pairs, radius_um=radius_um), candidates)


def cross_validated_f1(pairs: Iterable[Evaluated], *, radius_um: float) -> CrossValidated:
    """What a threshold chosen on labelled cases is worth on a case that it has not seen.

    Each case in turn is scored at the threshold chosen on all others, and the counts are pooled:
    with few labels an honest figure where F1 at `best_threshold` flatters.

    Args:
        pairs: Labelled images of at least two cases.
        radius_um: Largest distance of a match in µm.

    Raises:
        UserError: there are fewer than two cases, or all nuclei are in one.
    """
    images = list(pairs)
    cases = sorted({image.case for image in images})
    if len(cases) < 2:
        raise UserError(
            f"Cross-validation needs at least two cases, but got {len(cases)}; label another case "
            f"or choose the threshold without it."
        )
    curves = {
        case: precision_recall_curve((i for i in images if i.case == case), radius_um=radius_um)
        for case in cases
    }
    thresholds = {
        case: _chosen(pool_curves([curves[other] for other in cases if other != case]), None).value
        for case in cases
    }
    counts = [curves[case].counts_at(thresholds[case]) for case in cases]
    return CrossValidated(pooled_f1(counts), thresholds)


def _chosen(curve: PrecisionRecallCurve, candidates: Sequence[float] | None) -> Threshold:
    if not curve.n_nuclei:
        raise UserError(
            "A threshold is chosen by the nuclei that it finds, but no nucleus is annotated in "
            "these images; label some, or choose other images for validation."
        )
    if candidates is not None:
        value = _middle_candidate(curve, sorted(candidates, reverse=True))
    elif len(curve.thresholds):
        value = _middle_of_plateau(curve)
    else:
        value = 0.0
    return Threshold(value, pooled_f1(curve.counts_at(value)), curve)


def _middle_of_plateau(curve: PrecisionRecallCurve) -> float:
    first, last = _plateau(curve.f1.tolist(), curve.n_nuclei)
    highest = curve.thresholds[first]
    # Anything down to the next score, not included, keeps the same detections as the last.
    below = curve.thresholds[min(last + 1, len(curve.thresholds) - 1)]
    middle = np.float32((highest + below) / 2)  # scores are compared as float32
    return float(middle if middle > below else highest)


def _middle_candidate(curve: PrecisionRecallCurve, candidates: Sequence[float]) -> float:
    counts = np.array([curve.counts_at(value) for value in candidates])
    first, last = _plateau(precision_recall_f1(counts)[2].tolist(), curve.n_nuclei)
    return float(candidates[(first + last) // 2])


def _plateau(f1: list[float], n_nuclei: int) -> tuple[int, int]:
    """First and last position of the run around the best F1 that is as good as it."""
    best = max(f1)
    enough = best - float(np.sqrt(best * (1 - best) / n_nuclei)) - 1e-12
    first = last = f1.index(best)
    while first > 0 and f1[first - 1] >= enough:
        first -= 1
    while last < len(f1) - 1 and f1[last + 1] >= enough:
        last += 1
    return first, last
