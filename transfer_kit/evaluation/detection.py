"""How well nuclei were detected: counts of one image, and scores pooled over many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import UserError
from transfer_kit.evaluation.matching import Index, match_points
from transfer_kit.evaluation.statistics import bootstrap_f1, precision_recall_f1

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """One image with what is known and what was found in it.

    Attributes:
        id: Name of the image.
        case: Name of the patient or animal; intervals are over cases.
        mpp: Micrometres per pixel of the image that the points refer to.
        size: Height and width of that image in pixels.
        truth: What is known.
        found: Candidates with their scores, not yet cut at a threshold.
    """

    id: str
    case: str
    mpp: float
    size: tuple[int, int]
    truth: Annotation
    found: Nuclei


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """Which nuclei of one image were found; all indices are positions in `truth` or `found`.

    Attributes:
        truth_index: Nucleus of each true detection.
        found_index: The true detections, as long as `truth_index`.
        distances_px: Distance of each true detection to its nucleus in pixels.
        false_index: Detections that are no nucleus.
        missed_index: Nuclei that were not detected.
        n_nuclei: Nuclei inside the labelled regions.
        by_class: True, false and missed of each class, by class name; see `score_image`.
    """

    truth_index: Index
    found_index: Index
    distances_px: NDArray[np.float64]
    false_index: Index
    missed_index: Index
    n_nuclei: int
    by_class: Mapping[str, Counts]

    @property
    def counts(self) -> Counts:
        """Numbers of true, false and missed, `(3,)`."""
        return np.array([len(self.found_index), len(self.false_index), len(self.missed_index)])


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of one class, and how many nuclei it has."""

    f1: float
    precision: float
    recall: float
    n_nuclei: int


@dataclass(frozen=True)
class DetectionScores:
    """Scores of one detector on a set of images, at one threshold and matching radius.

    Attributes:
        f1: Pooled: of the summed counts of all images, as are `precision` and `recall`.
        precision: Share of the detections that are nuclei.
        recall: Share of the nuclei that were detected.
        f1_low: Lower end of the 95 % bootstrap interval over cases; None with a single case.
        f1_high: Upper end.
        n_true: Detections that are nuclei.
        n_false: Detections that are none.
        n_missed: Nuclei that were not detected.
        distance_mean: Of true detections to their nuclei in µm, as all `distance_*`; None where
            there is none. The same in pixels of each image are the `distance_*_px`.
        image_f1_mean: Mean over the images that have a nucleus or a detection; None without any.
        image_f1_sd: Sample standard deviation over these; None with fewer than two.
        n_images: Images scored.
        n_cases: Cases that they come from.
        n_nuclei: Nuclei inside labelled regions.
        radius_um: Largest distance of a match in µm.
        threshold: Lowest score of a detection.
        class_f1: Mean of the classes' F1 weighted by their number of nuclei (paper 001, section
            IV), as `class_precision` and `class_recall`; None where no class is compared.
        classes: Scores of each class, by name; empty where no class is compared.
    """

    f1: float
    precision: float
    recall: float
    f1_low: float | None
    f1_high: float | None
    n_true: int
    n_false: int
    n_missed: int
    distance_mean: float | None
    distance_sd: float | None
    distance_median: float | None
    distance_q1: float | None
    distance_q3: float | None
    distance_mean_px: float | None
    distance_sd_px: float | None
    distance_median_px: float | None
    distance_q1_px: float | None
    distance_q3_px: float | None
    image_f1_mean: float | None
    image_f1_sd: float | None
    n_images: int
    n_cases: int
    n_nuclei: int
    radius_um: float
    threshold: float
    class_f1: float | None
    class_precision: float | None
    class_recall: float | None
    classes: Mapping[str, ClassScores]

    def as_dict(self) -> dict[str, Any]:
        """All figures under their names, ready for JSON (None for what cannot be told)."""
        return asdict(self)


def inside_labelled(points: Points, truth: Annotation, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which points lie in the image and, where `truth` has any, in a labelled region.

    Rims count as inside; an image reaches half a pixel beyond its outer pixel centres.
    """
    height, width = size
    x, y = np.asarray(points, np.float64).reshape(-1, 2).T
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    if truth.labelled_regions:
        region = shapely.union_all(truth.labelled_regions)
        shapely.prepare(region)
        inside &= shapely.intersects_xy(region, x, y)
    return np.asarray(inside, bool)


def score_image(
    truth: Annotation, found: Nuclei, *, radius_px: float, size: tuple[int, int]
) -> ImageCounts:
    """Count the true, false and missed detections of one image.

    Nuclei and detections outside the labelled regions count for nothing, and at the rim they can
    only excuse: first the nuclei inside are matched with the detections inside (`match_points`),
    which gives the true ones. Of what is left, a detection inside that matches an annotated
    nucleus outside is not false, and a nucleus inside that matches a detection outside is not
    missed; such pairs, one-to-one as well, are no true ones either.

    Classes are compared on the true pairs: where they agree, the pair is true for the class;
    where not, it is missed for the nucleus's class and false for the detection's (paper 001,
    section IV). A nucleus without a class name takes its pair out of this comparison. There is
    none, and `by_class` is empty, where the detections bear none of the annotation's class names.

    Args:
        truth: What is known.
        found: The detections, already cut at the threshold.
        radius_px: Largest distance of a match in pixels (`radius_um / mpp`).
        size: Height and width of the image.
    """
    known = inside_labelled(truth.points, truth, size)
    counted = inside_labelled(found.points, truth, size)
    nuclei, detections = np.flatnonzero(known), np.flatnonzero(counted)
    match = match_points(truth.points[nuclei], found.points[detections], radius_px)
    false = detections[match.unmatched_predicted]
    missed = nuclei[match.unmatched_reference]
    if len(false) and not known.all():
        excused = match_points(truth.points[~known], found.points[false], radius_px)
        false = false[excused.unmatched_predicted]
    if len(missed) and not counted.all():
        excused = match_points(truth.points[missed], found.points[~counted], radius_px)
        missed = missed[excused.unmatched_reference]
    true_nuclei, true = nuclei[match.reference_index], detections[match.predicted_index]
    by_class = _class_counts(truth.classes, found.classes, (true_nuclei, true, false, missed))
    return ImageCounts(
        true_nuclei, true, match.distances, false, missed, int(known.sum()), by_class
    )


def _class_counts(
    truth: Sequence[str], found: Sequence[str], indices: tuple[Index, Index, Index, Index]
) -> dict[str, Counts]:
    true_nuclei, true, false, missed = indices
    if not (set(truth) - {""}) & set(found):
        return {}
    counts: dict[str, Counts] = defaultdict(lambda: np.zeros(3, np.int64))
    for nucleus, detection in zip(true_nuclei, true, strict=True):
        actual, said = truth[nucleus], found[detection]
        if actual == said:
            counts[actual][0] += 1
        elif actual:
            counts[said][1] += 1
            counts[actual][2] += 1
    for detection in false:
        counts[found[detection]][1] += 1
    for nucleus in missed:
        counts[truth[nucleus]][2] += 1
    counts.pop("", None)
    return dict(counts)
