"""F1 of a base at thresholds chosen on labelled images that it is not judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError
from transfer_kit.evaluation import (
    Evaluated,
    bootstrap_f1,
    cross_validated_f1,
    inside_labelled,
    pooled_f1,
    precision_recall_curve,
)

Unit: TypeAlias = Literal["case", "image"]


@dataclass(frozen=True)
class Recalibrated:
    """F1 of cases (or images), each at the threshold chosen on the others.

    Attributes:
        f1: Pooled.
        low: Lower end of the 95 % bootstrap interval over them; `high` is the upper.
        case_counts: True, false and missed of each, for `paired_difference`.
    """

    f1: float
    low: float | None
    high: float | None
    case_counts: Mapping[str, tuple[int, int, int]] = field(repr=False)


def cross_validation_unit(samples: Sequence[Sample]) -> Unit:
    """What is held out in turn: cases, or images where all nuclei are of one case.

    Images of one patient resemble one another, so that the second flatters.

    Raises:
        UserError: fewer than two images have an annotated nucleus.
    """
    known = [sample for sample in samples if _has_nuclei(sample)]
    if len({sample.case for sample in known}) > 1:
        return "case"
    if len(known) > 1:
        return "image"
    raise UserError(
        "Bases are compared by cross-validation, which takes two labelled images with annotated "
        f"nuclei, but there is {len(known)} among {len(samples)}; ask for more labels."
    )


def recalibrated_f1(
    pairs: Sequence[Evaluated], *, unit: Unit, radius_um: float, seed: int = 0
) -> Recalibrated:
    """Each case (or image) at the threshold chosen on all others, pooled.

    The threshold alone is chosen; a codec's other numbers stay the base's.

    Args:
        pairs: The labelled images, from `examine`.
        unit: What is held out in turn, from `cross_validation_unit`.
        radius_um: Largest distance of a match in µm.
        seed: Of the bootstrap.
    """
    if unit == "image":
        pairs = [replace(pair, case=pair.id) for pair in pairs]
    thresholds = cross_validated_f1(pairs, radius_um=radius_um).thresholds
    counts: dict[str, tuple[int, int, int]] = {}
    for case, threshold in thresholds.items():
        held_out = (pair for pair in pairs if pair.case == case)
        curve = precision_recall_curve(held_out, radius_um=radius_um)
        true, false, missed = (int(count) for count in curve.counts_at(threshold))
        counts[case] = true, false, missed
    each = list(counts.values())
    return Recalibrated(pooled_f1(each), *bootstrap_f1(each, seed=seed), counts)


def _has_nuclei(sample: Sample) -> bool:
    """Whether some annotated nucleus counts, which one outside the labelled regions does not."""
    annotation = sample.annotation()
    return bool(inside_labelled(annotation.points, annotation, sample.size).any())
