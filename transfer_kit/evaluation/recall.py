"""What can be measured where only some nuclei are marked: how many of them are found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from transfer_kit.errors import UserError
from transfer_kit.evaluation.counting import Counts, Evaluated
from transfer_kit.evaluation.matching import match_points
from transfer_kit.evaluation.statistics import bootstrap_f1


@dataclass(frozen=True)
class RecallScores:
    """Recall of the marked nuclei of a set of images, at one threshold and matching radius.

    A detection without a marked nucleus may be a nucleus that nobody marked, so that there is no
    precision and no F1. Recall alone flatters a detector that finds nuclei everywhere: compare
    `n_detections` too.

    Attributes:
        recall: Share of the marked nuclei that were detected, of all images together.
        recall_low: Lower end of the 95 % bootstrap interval over cases; None with a single case.
        recall_high: Upper end.
        n_true: Marked nuclei that were detected.
        n_missed: Those that were not.
        n_detections: All detections.
        n_images: Images with a marked nucleus.
        n_cases: Cases that they come from.
        radius_um: Largest distance of a match in µm.
        threshold: Lowest score of a detection.
    """

    recall: float
    recall_low: float | None
    recall_high: float | None
    n_true: int
    n_missed: int
    n_detections: int
    n_images: int
    n_cases: int
    radius_um: float
    threshold: float

    def as_dict(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        return asdict(self)


def recall_of_marked(
    pairs: Iterable[Evaluated], *, radius_um: float, threshold: float, seed: int = 0
) -> RecallScores:
    """How many of the marked nuclei a detector finds.

    Args:
        pairs: The images, as `examine_marked` gives them.
        radius_um: Largest distance of a match in µm.
        threshold: Lowest score of a detection.
        seed: Seed of the bootstrap.

    Raises:
        UserError: no nucleus is marked.
    """
    images = [image for image in pairs if len(image.truth)]
    if not images:
        raise UserError("No nucleus is marked in these images; mark some, or choose other images.")
    by_case: dict[str, Counts] = {}
    n_detections = 0
    for image in images:
        found = image.found.above(threshold)
        n_detections += len(found)
        matched = match_points(image.truth.points, found.points, radius_um / image.mpp)
        counts = np.array([len(matched), len(matched.unmatched_reference)])
        by_case[image.case] = by_case.get(image.case, np.zeros(2, np.int64)) + counts
    true, missed = (int(count) for count in sum(by_case.values(), np.zeros(2, np.int64)))
    # F1 of as many false as missed is recall: 2T / (2T + M + M).
    low, high = bootstrap_f1([(t, m, m) for t, m in by_case.values()], seed=seed)
    return RecallScores(
        recall=true / (true + missed),
        recall_low=low,
        recall_high=high,
        n_true=true,
        n_missed=missed,
        n_detections=n_detections,
        n_images=len(images),
        n_cases=len(by_case),
        radius_um=float(radius_um),
        threshold=float(threshold),
    )
