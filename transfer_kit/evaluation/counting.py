"""Which nuclei of one image were found: true, false and missed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import UserError
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
        false_index: Detections in labelled regions that are no nucleus.
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


def refuse_only_marked(images: Iterable[Evaluated]) -> None:
    """Refuse images in which nothing tells which detections are false.

    Raises:
        UserError: only some nuclei of an image are marked, and it has no labelled region.
    """
    for image in images:
        if image.truth.positives_only and not image.truth.labelled_regions:
            raise UserError(
                f"Only some nuclei of {image.id} are marked (positives_only), so a detection "
                "without one may still be a nucleus: measure recall (recall_of_marked), or label "
                "every nucleus in a region."
            )


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


def near_unlabelled(
    points: Points, truth: Annotation, size: tuple[int, int], radius_px: float
) -> NDArray[np.bool_]:
    """Which points lie within `radius_px` of a part of the image that is not labelled."""
    height, width = size
    whole = shapely.box(-0.5, -0.5, width - 0.5, height - 0.5)
    unlabelled = shapely.difference(whole, shapely.union_all(truth.labelled_regions))
    if not truth.labelled_regions or unlabelled.is_empty:
        return np.zeros(len(points), bool)
    shapely.prepare(unlabelled)
    return np.asarray(shapely.dwithin(unlabelled, shapely.points(points), radius_px), bool)


def score_image(
    truth: Annotation, found: Nuclei, *, radius_px: float, size: tuple[int, int]
) -> ImageCounts:
    """Count the true, false and missed detections of one image.

    A pair counts where its nucleus lies: nuclei inside the labelled regions are true or missed,
    those outside count for nothing. First the nuclei inside are matched with the detections
    inside (`match_points`), then what is left with all others, annotated nuclei outside and
    detections outside. So a nucleus inside that was detected just outside is found, and a
    detection inside of an annotated nucleus just outside is neither true nor false. Nor is one
    that is left over within the radius of the unlabelled part of the image, where its nucleus
    may be. The edges of the image are no such part.

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
        excused=near_unlabelled(found.points, truth, size, radius_px),
        radius_px=radius_px,
    )
    return replace(assigned, by_class=_class_counts(truth.classes, found.classes, assigned))


def assign(
    truth: Points,
    found: Points,
    *,
    known: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    excused: NDArray[np.bool_],
    radius_px: float,
) -> ImageCounts:
    """`score_image` for points alone, where it is known which of them lie inside.

    Args:
        truth: Annotated nuclei `(N, 2)`.
        found: Detections `(M, 2)`.
        known: Whether each nucleus lies in a labelled region.
        counted: Whether each detection does.
        excused: Which detections are not false without a nucleus.
        radius_px: Largest distance of a match in pixels.
    """
    nuclei, detections = np.flatnonzero(known), np.flatnonzero(counted)
    match = match_points(truth[nuclei], found[detections], radius_px)
    pairs = [(nuclei[match.reference_index], detections[match.predicted_index], match.distances)]
    missed, false = nuclei[match.unmatched_reference], detections[match.unmatched_predicted]
    if not (known.all() and counted.all()):
        others = np.concatenate([missed, np.flatnonzero(~known)])
        left = np.concatenate([false, np.flatnonzero(~counted)])
        match = match_points(truth[others], found[left], radius_px)
        one, other = others[match.reference_index], left[match.predicted_index]
        pairs.append((one[known[one]], other[known[one]], match.distances[known[one]]))
        missed, false = np.setdiff1d(missed, one), np.setdiff1d(false, other)
    nucleus, detection, distances = (np.concatenate(part) for part in zip(*pairs, strict=True))
    order = np.argsort(nucleus)
    return ImageCounts(
        truth_index=nucleus[order],
        found_index=detection[order],
        distances_px=distances[order],
        false_index=false[~excused[false]],
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
