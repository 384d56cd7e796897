"""How well whole nuclei were found: means over images, with intervals over cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from transfer_kit.data.filling import instances_of
from transfer_kit.data.regions import labelled_mask
from transfer_kit.errors import UserError
from transfer_kit.evaluation.counting import Evaluated, inside_labelled
from transfer_kit.evaluation.overlap import Overlap, Panoptic, Ratio
from transfer_kit.evaluation.statistics import (
    Interval,
    SignedRank,
    bootstrap_mean,
    wilcoxon_signed_rank,
)

FIGURES = ("aji", "aji_plus", "pq", "dq", "sq", "dice")


@dataclass(frozen=True)
class ImageSegmentation:
    """Figures of one image, each from 0 to 1; `Overlap` says what they are.

    Where there is neither a nucleus nor a detection all are 1, and the means leave it out.
    """

    id: str
    case: str
    aji: float
    aji_plus: float
    pq: float
    dq: float
    sq: float
    dice: float
    n_nuclei: int
    n_found: int


@dataclass(frozen=True)
class SegmentationScores:
    """Figures of one detector on a set of images, at one threshold.

    Means are over the images that have a nucleus or a detection, as papers 003 and Kumar et al.
    2017 give them; None without any. The ends `_low` and `_high` are those of the 95 % bootstrap
    interval over cases, None with a single one.

    Attributes:
        aji: Mean aggregated Jaccard index.
        aji_plus: The same with nuclei and detections one-to-one.
        pq: Mean panoptic quality; `dq` and `sq` are its parts.
        dice: Mean Dice coefficient of all nuclei's pixels, which is paper 003's F1.
        aji_pooled: Of the summed pixels of all images, as `pixel_f1`.
        pq_pooled: Of the summed counts of all images.
        n_images: Images with instances on both sides; others are not scored.
        n_cases: Cases that they come from.
        n_nuclei: Annotated instances.
        n_found: Detected instances.
        threshold: Lowest score of a detection.
        images: Each image's own, for `signed_rank`.
    """

    aji: float | None
    aji_low: float | None
    aji_high: float | None
    aji_plus: float | None
    pq: float | None
    pq_low: float | None
    pq_high: float | None
    dq: float | None
    sq: float | None
    dice: float | None
    dice_low: float | None
    dice_high: float | None
    aji_pooled: float
    pq_pooled: float
    pixel_f1: float
    n_images: int
    n_cases: int
    n_nuclei: int
    n_found: int
    threshold: float
    images: tuple[ImageSegmentation, ...]

    def as_dict(self) -> dict[str, Any]:
        """All figures, those of each image too, ready for JSON."""
        figures = asdict(self)
        figures["images"] = list(figures["images"])
        return figures

    def by_image(self, figure: str) -> dict[str, float]:
        """One of `FIGURES` of each image, by its id."""
        return {image.id: float(getattr(image, figure)) for image in self.images}


def overlap_in(image: Evaluated) -> Overlap | None:
    """The overlap of all candidates of an image with its nuclei, inside the labelled regions.

    A candidate that reaches in, but has its centre outside and touches no annotated nucleus, is
    left out. None where either has no instances.
    """
    truth = instances_of(image.truth, image.size)
    if truth is None or image.found.instances is None:
        return None
    if not image.truth.labelled_regions:
        return Overlap.of(truth, image.found.instances)
    overlap = Overlap.of(truth, image.found.instances, labelled_mask(image.truth, image.size))
    # What reaches in with its centre outside may be a nucleus that nobody annotated.
    kept = inside_labelled(image.found.points, image.truth, image.size)
    kept[overlap.found] = True
    return overlap.keeping(kept)


def evaluate_segmentation(
    pairs: Iterable[Evaluated], *, threshold: float, seed: int = 0
) -> SegmentationScores | None:
    """Score the instances that a detector found, at a threshold chosen on other images.

    Instances outside the labelled regions count for nothing, and those at their rim for the part
    inside; see `overlap_in`.

    Args:
        pairs: The images; those without instances on both sides are left out.
        threshold: Lowest score of a detection.
        seed: Seed of the bootstrap.

    Returns:
        The scores; None where no image has instances on both sides.

    Example:
        >>> from transfer_kit.data.nuclei import Nuclei
        >>> left, right = np.zeros((2, 4, 8), np.int32)
        >>> left[:, :4], right[:, 2:4] = 1, 1
        >>> truth = Annotation([[1.5, 1.5]], ("",), instances=left)
        >>> found = Nuclei([[2.5, 1.5]], [0.9], ("",), right)
        >>> image = Evaluated("a", "case 1", 0.25, (4, 8), truth, found)
        >>> evaluate_segmentation([image], threshold=0.5).aji
        0.5
    """
    scored: list[tuple[Evaluated, Overlap]] = []
    for image in pairs:
        overlap = overlap_in(image)
        if overlap is not None:
            kept = image.found.scores >= threshold
            scored.append((image, overlap.keeping(kept)))
    if not scored:
        return None
    images = tuple(_figures(image, overlap) for image, overlap in scored)
    counted = [image for image in images if image.n_nuclei or image.n_found]
    overlaps = [overlap for _, overlap in scored]
    return SegmentationScores(
        **{name: _mean(counted, name) for name in FIGURES},
        **_intervals(counted, seed),
        aji_pooled=_pooled([overlap.aji() for overlap in overlaps]),
        pq_pooled=_pooled_pq([overlap.panoptic() for overlap in overlaps]),
        pixel_f1=_pooled([overlap.dice() for overlap in overlaps]),
        n_images=len(images),
        n_cases=len({image.case for image in images}),
        n_nuclei=sum(image.n_nuclei for image in images),
        n_found=sum(image.n_found for image in images),
        threshold=float(threshold),
        images=images,
    )


def signed_rank(first: Mapping[str, float], second: Mapping[str, float]) -> SignedRank:
    """Wilcoxon's signed-rank test of one figure of the same images with two detectors.

    As paper 003 compares DIST with each other method (section VI-E), but two-sided.

    Args:
        first: By image, from `SegmentationScores.by_image`, or read from another run's metrics.
        second: Of the other detector.

    Raises:
        UserError: the two were measured on unlike images.
    """
    unlike = sorted(first.keys() ^ second.keys())
    if unlike:
        raise UserError(
            f"Two detectors are compared on the same images, but {unlike[0]!r} was scored with "
            f"only one of them; score both on one test set."
        )
    return wilcoxon_signed_rank([first[name] for name in first], [second[name] for name in first])


def _figures(image: Evaluated, overlap: Overlap) -> ImageSegmentation:
    panoptic = overlap.panoptic()
    return ImageSegmentation(
        id=image.id,
        case=image.case,
        aji=overlap.aji().value,
        aji_plus=overlap.aji_plus().value,
        pq=panoptic.pq,
        dq=panoptic.dq,
        sq=panoptic.sq,
        dice=overlap.dice().value,
        n_nuclei=overlap.n_truth,
        n_found=overlap.n_found,
    )


def _mean(images: Sequence[ImageSegmentation], figure: str) -> float | None:
    values = [getattr(image, figure) for image in images]
    return float(np.mean(values)) if values else None


def _intervals(images: Sequence[ImageSegmentation], seed: int) -> dict[str, float | None]:
    ends: dict[str, float | None] = {}
    for figure in ("aji", "pq", "dice"):
        by_case: dict[str, list[float]] = {}
        for image in images:
            by_case.setdefault(image.case, []).append(getattr(image, figure))
        interval: Interval = bootstrap_mean(list(by_case.values()), seed=seed)
        ends[f"{figure}_low"], ends[f"{figure}_high"] = interval
    return ends


def _pooled(ratios: Sequence[Ratio]) -> float:
    return Ratio(sum(ratio.part for ratio in ratios), sum(ratio.whole for ratio in ratios)).value


def _pooled_pq(images: Sequence[Panoptic]) -> float:
    counts = [sum(column) for column in zip(*images, strict=True)]
    return Panoptic(int(counts[0]), int(counts[1]), int(counts[2]), counts[3]).pq
