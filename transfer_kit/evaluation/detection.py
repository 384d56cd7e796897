"""How well nuclei were detected: scores pooled over images, with an interval over cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_kit.errors import UserError
from transfer_kit.evaluation.counting import (
    Counts,
    Evaluated,
    ImageCounts,
    refuse_only_marked,
    score_image,
)
from transfer_kit.evaluation.statistics import bootstrap_f1, precision_recall_f1

__all__ = [
    "ClassScores",
    "DetectionScores",
    "Evaluated",
    "ImageCounts",
    "evaluate",
    "score_image",
]


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
        case_counts: True, false and missed of each case, by case, for `paired_difference`.
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
    case_counts: Mapping[str, tuple[int, int, int]] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """All figures but those of single cases, ready for JSON (None for what cannot be told)."""
        figures = asdict(self)
        del figures["case_counts"]
        return figures


def evaluate(
    pairs: Iterable[Evaluated], *, radius_um: float, threshold: float, seed: int = 0
) -> DetectionScores:
    """Score a detector on a set of images, pooled, with an interval over cases.

    Args:
        pairs: The images.
        radius_um: Largest distance of a match in µm.
        threshold: Lowest score of a detection, chosen on other images than these.
        seed: Seed of the bootstrap.

    Raises:
        UserError: there is no image, or one of which only some nuclei are marked.

    Example:
        >>> from transfer_kit.data.annotation import Annotation
        >>> from transfer_kit.data.nuclei import Nuclei
        >>> truth = Annotation.of_points([[10, 10], [40, 40]])
        >>> found = Nuclei([[12, 10]], [0.9], ("",))
        >>> image = Evaluated("a", "case 1", 0.25, (64, 64), truth, found)
        >>> evaluate([image], radius_um=4, threshold=0.5).recall
        0.5
    """
    images = list(pairs)
    if not images:
        raise UserError("There is no image to score; give at least one with annotations.")
    refuse_only_marked(images)
    counted = [_counted(image, radius_um, threshold) for image in images]
    each = np.array([one.counts for one in counted])
    total = each.sum(axis=0)
    precision, recall, f1 = (float(value) for value in precision_recall_f1(total))
    by_case = _sums(zip((image.case for image in images), each, strict=True))
    low, high = bootstrap_f1(list(by_case.values()), seed=seed)
    image_f1 = precision_recall_f1(each[each.sum(axis=1) > 0])[2]
    px = [one.distances_px for one in counted]
    um = [d * image.mpp for d, image in zip(px, images, strict=True)]
    found_names = {name for image in images for name in image.found.classes}
    classes = _class_scores(
        _sums(item for one in counted for item in one.by_class.items()), found_names
    )
    return DetectionScores(
        f1=f1,
        precision=precision,
        recall=recall,
        f1_low=low,
        f1_high=high,
        n_true=int(total[0]),
        n_false=int(total[1]),
        n_missed=int(total[2]),
        image_f1_mean=float(image_f1.mean()) if len(image_f1) else None,
        image_f1_sd=float(image_f1.std(ddof=1)) if len(image_f1) > 1 else None,
        n_images=len(images),
        n_cases=len(by_case),
        n_nuclei=sum(one.n_nuclei for one in counted),
        radius_um=float(radius_um),
        threshold=float(threshold),
        classes=classes,
        case_counts={case: _three(counts) for case, counts in by_case.items()},
        **_distances(np.concatenate(um), ""),
        **_distances(np.concatenate(px), "_px"),
        **_weighted(classes),
    )


def class_f1(pairs: Sequence[Evaluated], *, radius_um: float, threshold: float) -> float | None:
    """`DetectionScores.class_f1` alone; 0 where classes are annotated but none of them found.

    None where no annotated nucleus has a class.
    """
    counted = [_counted(image, radius_um, threshold) for image in pairs]
    sums = _sums(item for one in counted for item in one.by_class.items())
    annotated = {name for name, counts in sums.items() if name and counts[0] + counts[2] > 0}
    if not annotated:
        return None
    found = {name for image in pairs for name in image.found.classes}
    return _weighted(_class_scores(sums, found))["class_f1"] or 0.0


def _counted(image: Evaluated, radius_um: float, threshold: float) -> ImageCounts:
    return score_image(
        image.truth,
        image.found.above(threshold),
        radius_px=radius_um / image.mpp,
        size=image.size,
    )


def _three(counts: Counts) -> tuple[int, int, int]:
    true, false, missed = (int(count) for count in counts)
    return true, false, missed


def _sums(items: Iterable[tuple[str, Counts]]) -> dict[str, Counts]:
    sums: dict[str, Counts] = {}
    for name, counts in items:
        sums[name] = sums[name] + counts if name in sums else counts
    return sums


def _distances(values: NDArray[np.float64], unit: str) -> dict[str, Any]:
    names = [f"distance_{name}{unit}" for name in ("mean", "sd", "q1", "median", "q3")]
    if not len(values):
        return dict.fromkeys(names)
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    quartiles = (float(value) for value in np.quantile(values, (0.25, 0.5, 0.75)))
    return dict(zip(names, (float(values.mean()), sd, *quartiles), strict=True))


def _class_scores(sums: Mapping[str, Counts], found: set[str]) -> dict[str, ClassScores]:
    """Scores by class; none where no detection bears a name that the annotations use."""
    annotated = {name for name, counts in sums.items() if counts[0] + counts[2] > 0}
    if not annotated & found:
        return {}
    scores = {}
    for name in sorted(sums):
        precision, recall, f1 = (float(value) for value in precision_recall_f1(sums[name]))
        scores[name] = ClassScores(f1, precision, recall, int(sums[name][0] + sums[name][2]))
    return scores


def _weighted(classes: Mapping[str, ClassScores]) -> dict[str, float | None]:
    sizes = [scores.n_nuclei for scores in classes.values()]
    return {
        f"class_{name}": (
            float(np.average([getattr(scores, name) for scores in classes.values()], weights=sizes))
            if classes
            else None
        )
        for name in ("f1", "precision", "recall")
    }
