"""The Ki67 labelling index: which share of a tumour's nuclei is positive, and how sure it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from transfer_kit.errors import UserError
from transfer_kit.evaluation.statistics import RESAMPLES, Interval


class CountedImage(NamedTuple):
    """One image, whose patient it is, and the class of each nucleus annotated or found in it."""

    id: str
    case: str
    classes: Sequence[str]


@dataclass(frozen=True)
class LabellingIndex:
    """Positive tumour nuclei among all tumour nuclei.

    Attributes:
        index: Share, 0 to 1; None where there is no tumour nucleus.
        low: Lower end of the 95 % Wilson interval, that is of what counting more nuclei of the
            same tissue might give; None with `index`.
        high: Upper end.
        n_positive: Positive tumour nuclei.
        n_tumour: Tumour nuclei, positive and negative.
    """

    index: float | None
    low: float | None
    high: float | None
    n_positive: int
    n_tumour: int


@dataclass(frozen=True)
class PooledLabellingIndex:
    """The labelling index of several images.

    Attributes:
        pooled: Of all images' nuclei together; its Wilson interval takes them for alike.
        case_low: Lower end of the 95 % bootstrap interval over cases, that is of what other
            patients might give; None with a single case.
        case_high: Upper end.
        n_cases: Cases with a tumour nucleus.
        images: Each image's own index, by id.
    """

    pooled: LabellingIndex
    case_low: float | None
    case_high: float | None
    n_cases: int
    images: Mapping[str, LabellingIndex]

    def as_dict(self) -> dict[str, Any]:
        """All figures under their names, ready for JSON."""
        return asdict(self)


def wilson_interval(successes: int, total: int, *, level: float = 0.95) -> Interval:
    """Interval of a proportion by Wilson's score (1927), which holds for small counts and zeros.

    `(p + z²/2n ± z √(p (1 - p)/n + z²/4n²)) / (1 + z²/n)` with p = successes / n; both ends None
    where `total` is 0.
    """
    if not total:
        return Interval(None, None)
    from scipy.stats import binomtest  # its import takes half a second, which few commands need

    found = binomtest(successes, total).proportion_ci(level, method="wilson")
    return Interval(float(found.low), float(found.high))


def labelling_index(classes: Iterable[str], *, positive: str, negative: str) -> LabellingIndex:
    """The index of one image, or of whatever nuclei `classes` name; other classes do not count.

    Example:
        >>> found = ["positive"] * 3 + ["negative"] * 7 + ["non-tumour"] * 40
        >>> labelling_index(found, positive="positive", negative="negative").index
        0.3
    """
    counts = Counter(classes)
    n_positive, n_tumour = counts[positive], counts[positive] + counts[negative]
    interval = wilson_interval(n_positive, n_tumour)
    index = n_positive / n_tumour if n_tumour else None
    return LabellingIndex(index, interval.low, interval.high, n_positive, n_tumour)


def pooled_labelling_index(
    images: Iterable[CountedImage], *, positive: str, negative: str, seed: int = 0
) -> PooledLabellingIndex:
    """The index of each image and of all together, with an interval over cases.

    Nuclei of one patient resemble one another, so the interval over cases draws whole cases with
    replacement, as that of F1 does (`bootstrap_f1`).

    Args:
        images: What was annotated, or what a detector found, already cut at its threshold.
        positive: Class of the positive tumour nuclei.
        negative: Class of the negative ones.
        seed: Seed of the bootstrap.

    Raises:
        UserError: no nucleus of any image is of either class, or an image is given twice.
    """
    counted = list(images)
    _refuse_repeated(counted)
    by_image = {
        image.id: labelling_index(image.classes, positive=positive, negative=negative)
        for image in counted
    }
    pooled = labelling_index(
        (name for image in counted for name in image.classes), positive=positive, negative=negative
    )
    if pooled.index is None:
        raise _no_tumour(counted, positive, negative)
    of_case: Counter[str] = Counter()
    positive_of_case: Counter[str] = Counter()
    for image in counted:
        of_case[image.case] += by_image[image.id].n_tumour
        positive_of_case[image.case] += by_image[image.id].n_positive
    cases = [case for case, n_tumour in of_case.items() if n_tumour]
    interval = _bootstrapped(
        [positive_of_case[case] for case in cases], [of_case[case] for case in cases], seed
    )
    return PooledLabellingIndex(pooled, interval.low, interval.high, len(cases), by_image)


def _bootstrapped(positive: Sequence[int], tumour: Sequence[int], seed: int) -> Interval:
    """Percentiles of the pooled share when whole cases are drawn anew."""
    count = len(tumour)
    if count < 2:
        return Interval(None, None)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    low, high = np.quantile((times @ positive) / (times @ tumour), [0.025, 0.975])
    return Interval(float(low), float(high))


def _refuse_repeated(images: Sequence[CountedImage]) -> None:
    repeated = [name for name, times in Counter(image.id for image in images).items() if times > 1]
    if repeated:
        raise UserError(
            f"The image {repeated[0]!r} is counted twice; give each image once, under its own id."
        )


def _no_tumour(images: Sequence[CountedImage], positive: str, negative: str) -> UserError:
    seen = sorted({name or "(no class)" for image in images for name in image.classes})
    there = ", ".join(seen) if seen else "there is no nucleus at all"
    return UserError(
        f"No nucleus is of class {positive!r} or {negative!r}, so there is no labelling index; "
        f"name the classes of the tumour as they are called here: {there}."
    )
