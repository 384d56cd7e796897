"""How sure a figure is: intervals over cases, paired differences, and means over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from transfer_kit.errors import UserError

Floats = NDArray[np.float64]

RESAMPLES = 2000


class Interval(NamedTuple):
    """A 95 % interval; both ends None where a single case or seed cannot tell."""

    low: float | None
    high: float | None


class Scored(Protocol):
    """Anything that knows the true, false and missed of each case: `DetectionScores` does."""

    @property
    def case_counts(self) -> Mapping[str, tuple[int, int, int]]:
        """True, false and missed of each case, by case."""
        ...


@dataclass(frozen=True)
class Difference:
    """How much better one detector is than another on the same cases.

    Attributes:
        difference: Pooled F1 of the first less that of the second; or another figure, where a
            function says so.
        low: Lower end of the 95 % interval over cases, None with a single case.
        high: Upper end.
        n_cases: Cases that both were scored on.
    """

    difference: float
    low: float | None
    high: float | None
    n_cases: int

    def as_dict(self) -> dict[str, float | int | None]:
        """The figures under their names, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SignedRank:
    """A two-sided Wilcoxon signed-rank test: statistic, p-value, pairs that differ."""

    statistic: float
    p_value: float
    n_differing: int


@dataclass(frozen=True)
class SeedMean:
    """Mean over seeds, with sample standard deviation and a 95 % interval of the mean.

    With one seed `sd`, `low` and `high` are None.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    n_seeds: int


def precision_recall_f1(counts: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of counts `(..., 3)` of true, false and missed, as `(...)`.

    `P = T/(T+F)`, `R = T/(T+M)`, `F1 = 2PR/(P+R) = 2T/(2T+F+M)` (paper 001, section IV).
    Where there is neither a nucleus nor a detection, the detector is right and all three are 1.
    Otherwise a ratio of nothing to nothing is 0: the precision of a detector that finds none of
    the nuclei, and the recall of one that finds something where nothing is.
    """
    true, false, missed = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    right = np.asarray(true + false + missed == 0, np.float64)

    def ratio(part: Floats, whole: Floats) -> Floats:
        return np.asarray(np.divide(part, whole, out=np.array(right), where=whole > 0))

    twice = 2 * true
    return (
        ratio(true, true + false),
        ratio(true, true + missed),
        ratio(twice, twice + false + missed),
    )


def pooled_f1(counts: ArrayLike) -> float:
    """F1 of the summed counts `(cases, 3)` of true, false and missed."""
    return float(precision_recall_f1(np.asarray(counts).reshape(-1, 3).sum(axis=0))[2])


def bootstrap_f1(
    case_counts: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> Interval:
    """Interval of the pooled F1, from resampling whole cases with replacement.

    Cases, not nuclei or images, are drawn, since nuclei of one patient resemble one another.
    The ends are percentiles of the resampled F1 (Efron and Tibshirani 1993, chapter 13). On
    simulated cases of unlike size and difficulty, bias-corrected and accelerated ends (chapter 14)
    covered the true F1 no more often. Any such interval is too narrow for a handful of cases:
    there it covered 82 % with 5 cases, 87 % with 10 and 92 % with 20.

    Args:
        case_counts: `(cases, 3)` numbers of true, false and missed, a row a case.
        seed: Seed of the resampling.
        resamples: Number of resamples.
        level: Coverage aimed at.
    """
    counts = np.asarray(case_counts, np.float64).reshape(-1, 3)
    if len(counts) < 2:
        return Interval(None, None)
    return _percentiles(precision_recall_f1(_resampled(counts, seed, resamples))[2], level)


def bootstrap_mean(
    cases: Sequence[Sequence[float]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> Interval:
    """Interval of a mean over images, from resampling whole cases as `bootstrap_f1` does.

    Args:
        cases: The figures of each case's images, at least one each.
        seed: Seed of the resampling.
        resamples: Number of resamples.
        level: Coverage aimed at.
    """
    if len(cases) < 2:
        return Interval(None, None)
    rows = np.array([[sum(figures), len(figures)] for figures in cases], np.float64)
    total, count = _resampled(rows, seed, resamples).T
    return _percentiles(np.asarray(total / count), level)


def paired_difference(
    first: Scored, second: Scored, *, seed: int = 0, resamples: int = RESAMPLES
) -> Difference:
    """Pooled F1 of `first` less that of `second`, with a 95 % interval over their common cases.

    Every resample draws the same cases for both, so that what makes a case hard cancels.

    Args:
        first: Scores of the detector that ought to be better.
        second: Scores of the other on the same cases.
        seed: Seed of the resampling.
        resamples: Number of resamples.

    Raises:
        UserError: the two were scored on unlike cases.
    """
    unlike = sorted(first.case_counts.keys() ^ second.case_counts.keys())
    if unlike:
        raise UserError(
            f"Two detectors are compared on the same cases, but {unlike[0]!r} was scored with only "
            f"one of them; score both on one test set."
        )
    cases = list(first.case_counts)
    a, b = (np.array([each.case_counts[case] for case in cases], float) for each in (first, second))
    difference = pooled_f1(a) - pooled_f1(b)
    if len(cases) < 2:
        return Difference(difference, None, None, len(cases))
    sums = _resampled(np.concatenate([a, b], axis=1), seed, resamples)
    resampled = precision_recall_f1(sums[:, :3])[2] - precision_recall_f1(sums[:, 3:])[2]
    return Difference(difference, *_percentiles(resampled, 0.95), len(cases))


def wilcoxon_signed_rank(first: Sequence[float], second: Sequence[float]) -> SignedRank:
    """Two-sided Wilcoxon signed-rank test of paired figures, such as the F1 of each case.

    SciPy's test: exact for small samples without ties; pairs without a difference are dropped,
    and with none left nothing speaks against equality (`p_value` 1).

    Raises:
        ValueError: the sequences differ in length.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"pairs are needed, but got {len(a)} and {len(b)} figures")
    differing = int(np.count_nonzero(a != b))
    if differing == 0:
        return SignedRank(0.0, 1.0, 0)
    from scipy.stats import wilcoxon  # its import takes half a second, which few commands need

    outcome = wilcoxon(a, b)
    return SignedRank(float(outcome.statistic), float(outcome.pvalue), differing)


def mean_over_seeds(values: Sequence[float], *, level: float = 0.95) -> SeedMean:
    """Mean and spread of one figure over trainings that differ in their seed alone.

    The interval is Student's, `mean +- t * sd / sqrt(n)` with n - 1 degrees of freedom.

    Raises:
        ValueError: `values` is empty.
    """
    count = len(values)
    if not count:
        raise ValueError("a mean needs at least one seed, but got none")
    mean = float(np.mean(values))
    if count == 1:
        return SeedMean(mean, None, None, None, 1)
    sd = float(np.std(values, ddof=1))
    half = float(stdtrit(count - 1, 0.5 + level / 2)) * sd / float(np.sqrt(count))
    return SeedMean(mean, sd, mean - half, mean + half, count)


def _resampled(rows: Floats, seed: int, resamples: int) -> Floats:
    """Sums of the rows of each resample, `(resamples, columns)`."""
    count = len(rows)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    return times.astype(np.float64) @ rows


def _percentiles(resampled: Floats, level: float) -> Interval:
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
