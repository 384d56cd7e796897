"""Which nuclei of one image were found: true, false and missed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation.matching import Index, match_points

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
    section IV). A nucleus without a class name takes its pair out of this comparison.

    Args:
        truth: What is known.
        found: The detections, already cut at the threshold.
        radius_px: Largest distance of a match in pixels (`radius_um / mpp`).
        size: Height and width of the image.
    """
    assigned = assign(
        truth.points,
        found.points,
        known=inside_labelled(truth.points, truth, size),
        counted=inside_labelled(found.points, truth, size),
        radius_px=radius_px,
    )
    return replace(assigned, by_class=_class_counts(truth.classes, found.classes, assigned))


def assign(
    truth: Points,
    found: Points,
    *,
    known: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    radius_px: float,
) -> ImageCounts:
    """`score_image` for points alone, where it is known which of them lie inside.

    Args:
        truth: Annotated nuclei `(N, 2)`.
        found: Detections `(M, 2)`.
        known: Whether each nucleus lies in a labelled region.
        counted: Whether each detection does.
        radius_px: Largest distance of a match in pixels.
    """
    nuclei, detections = np.flatnonzero(known), np.flatnonzero(counted)
    match = match_points(truth[nuclei], found[detections], radius_px)
    false = detections[match.unmatched_predicted]
    missed = nuclei[match.unmatched_reference]
    if len(false) and not known.all():
        excused = match_points(truth[~known], found[false], radius_px)
        false = false[excused.unmatched_predicted]
    if len(missed) and not counted.all():
        excused = match_points(truth[missed], found[~counted], radius_px)
        missed = missed[excused.unmatched_reference]
    return ImageCounts(
        truth_index=nuclei[match.reference_index],
        found_index=detections[match.predicted_index],
        distances_px=match.distances,
        false_index=false,
        missed_index=missed,
        n_nuclei=len(nuclei),
        by_class={},
    )


def _class_counts(
    truth: Sequence[str], found: Sequence[str], assigned: ImageCounts
) -> dict[str, Counts]:
    if not any(truth):
        return {}
    counts: dict[str, Counts] = defaultdict(lambda: np.zeros(3, np.int64))
    for nucleus, detection in zip(assigned.truth_index, assigned.found_index, strict=True):
        actual, said = truth[nucleus], found[detection]
        if actual == said:
            counts[actual][0] += 1
        elif actual:
            counts[said][1] += 1
            counts[actual][2] += 1
    for detection in assigned.false_index:
        counts[found[detection]][1] += 1
    for nucleus in assigned.missed_index:
        counts[truth[nucleus]][2] += 1
    counts.pop("", None)
    return dict(counts)
