"""True, false and missed of one image, as `evaluate` counts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation.counting import score_image
from transfer_kit.evaluation.statistics import precision_recall_f1
from transfer_kit.inference.found import FoundNuclei

NOT_JUDGED, TRUE, FALSE, MISSED = range(4)
"""What is said of a detection or a nucleus; not judged is what lies outside labelled regions."""

States = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Judged:
    """What is said of each detection and each annotated nucleus at one threshold and radius.

    Attributes:
        found: `(N,)` of each detection; those below the threshold are not judged.
        truth: `(M,)` of each annotated nucleus, TRUE where it was found.
        n_false: None where an unmarked place may be a nucleus, and so precision and F1.
        n_nuclei: Nuclei inside the labelled regions.
    """

    found: States
    truth: States
    n_true: int
    n_false: int | None
    n_missed: int
    n_nuclei: int
    precision: float | None
    recall: float
    f1: float | None

    def figures(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        names = ("n_true", "n_false", "n_missed", "n_nuclei", "precision", "recall", "f1")
        return {name: getattr(self, name) for name in names}


def judge(
    found: FoundNuclei,
    truth: Annotation,
    *,
    threshold: float,
    radius_px: float,
    size: tuple[int, int],
) -> Judged:
    """Match the detections from `threshold` on with the annotated nuclei of an image of `size`."""
    kept = np.flatnonzero(found.scores >= threshold)
    names = tuple(found.classes[kind] for kind in found.kinds[kept].tolist())
    nuclei = Nuclei(found.points[kept], found.scores[kept], names)
    scored = score_image(truth, nuclei, radius_px=radius_px, size=size)
    of_found = np.full(len(found), NOT_JUDGED, np.uint8)
    of_found[kept[scored.found_index]] = TRUE
    of_truth = np.full(len(truth), NOT_JUDGED, np.uint8)
    of_truth[scored.truth_index] = TRUE
    of_truth[scored.missed_index] = MISSED
    tells_false = truth.tells_false
    if tells_false:
        of_found[kept[scored.false_index]] = FALSE
    n_true, n_false, n_missed = scored.counts.tolist()
    precision, recall, f1 = (float(value) for value in precision_recall_f1(scored.counts))
    return Judged(
        of_found,
        of_truth,
        n_true=n_true,
        n_false=n_false if tells_false else None,
        n_missed=n_missed,
        n_nuclei=scored.n_nuclei,
        precision=precision if tells_false else None,
        recall=recall,
        f1=f1 if tells_false else None,
    )
