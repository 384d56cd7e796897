"""How well a score that is known before fine-tuning puts bases in the order found after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_kit.errors import UserError
from transfer_kit.evaluation.statistics import RESAMPLES, Interval

Floats = NDArray[np.float64]
Table = Mapping[str, Mapping[str, float]]
"""A figure of each base, by target and base."""

FEWEST_BASES = 3
"""Two bases are in the right order or the wrong one, which is no correlation."""


@dataclass(frozen=True)
class RankCorrelation:
    """Rank correlations of a score with what came out, each the mean over targets.

    Attributes:
        kendall: Kendall's τ-b, from −1 (the reverse order) to 1 (the same).
        kendall_low: Lower end of its 95 % bootstrap interval.
        kendall_high: Upper end.
        spearman: Spearman's ρ, and its interval likewise.
        n_targets: Targets that it was averaged over.
        n_pairs: Bases, summed over the targets.
    """

    kendall: float
    kendall_low: float | None
    kendall_high: float | None
    spearman: float
    spearman_low: float | None
    spearman_high: float | None
    n_targets: int
    n_pairs: int

    def as_dict(self) -> dict[str, Any]:
        """The figures under their names, ready for JSON."""
        return asdict(self)


def rank_correlation(
    scores: Table, outcomes: Table, *, seed: int = 0, resamples: int = RESAMPLES
) -> RankCorrelation:
    """Kendall's τ-b and Spearman's ρ of a score and an outcome, with bootstrap intervals.

    Bases are ranked within each target, since targets are of unlike difficulty, and the
    correlations averaged. A resample draws targets (where there are several) and then bases within
    each, all with replacement; a target all of whose drawn bases are equal in score or outcome says
    nothing of the order and is left out of that resample.

    Args:
        scores: Of each base on each target, greater for a base that ought to be better.
        outcomes: Of the same bases on the same targets, such as the F1 after fine-tuning.
        seed: Seed of the resampling.
        resamples: Number of resamples.

    Raises:
        UserError: the tables name unlike bases or targets, or a target has fewer than three bases
            or bases that are all equal.
    """
    columns = [_columns(scores, outcomes, target) for target in _targets(scores, outcomes)]
    own = [_correlations(score[None], outcome[None])[:, 0] for score, outcome in columns]
    kendall, spearman = np.mean(own, axis=0).tolist()
    drawn = _resampled(columns, seed, resamples)
    kendall_ends, spearman_ends = (_percentiles(each) for each in drawn)
    pairs = sum(len(score) for score, _ in columns)
    return RankCorrelation(
        kendall, *kendall_ends, spearman, *spearman_ends, n_targets=len(columns), n_pairs=pairs
    )


def _targets(scores: Table, outcomes: Table) -> list[str]:
    unlike = sorted(scores.keys() ^ outcomes.keys())
    if unlike or not scores:
        what = f"only one of them has {unlike[0]!r}" if unlike else "both are empty"
        raise UserError(f"Scores and outcomes of the same targets are compared, but {what}.")
    return sorted(scores)


def _columns(scores: Table, outcomes: Table, target: str) -> tuple[Floats, Floats]:
    score, outcome = scores[target], outcomes[target]
    unlike = sorted(score.keys() ^ outcome.keys())
    if unlike:
        raise UserError(
            f"Scores and outcomes of the same bases are compared, but on {target} only one of them "
            f"has {unlike[0]!r}; leave it out of both, or measure the other."
        )
    if len(score) < FEWEST_BASES:
        raise UserError(
            f"An order takes at least {FEWEST_BASES} bases, but {target} has {len(score)}; measure "
            "more of them."
        )
    both = tuple(
        np.array([table[base] for base in sorted(score)], float) for table in (score, outcome)
    )
    if not all(np.isfinite(column).all() for column in both):
        raise UserError(
            f"A figure of {target} is missing or not finite; leave that base out of both tables."
        )
    if any(len(np.unique(column)) < 2 for column in both):
        raise UserError(f"All bases of {target} are equal, so that they have no order.")
    return both[0], both[1]


def _resampled(
    columns: list[tuple[Floats, Floats]], seed: int, resamples: int
) -> tuple[Floats, Floats]:
    """Mean τ and ρ of each resample that has an order, `(≤ resamples,)` each."""
    rng = np.random.default_rng(seed)
    several = len(columns) > 1
    chosen = rng.integers(len(columns), size=(resamples, len(columns))) if several else None
    total, count = np.zeros((2, resamples)), np.zeros((2, resamples))
    for place in range(len(columns)):
        for target, (score, outcome) in enumerate(columns):
            drawn = (
                np.arange(resamples)
                if chosen is None
                else np.flatnonzero(chosen[:, place] == target)
            )
            bases = rng.integers(len(score), size=(len(drawn), len(score)))
            values = _correlations(score[bases], outcome[bases])
            known = np.isfinite(values)
            total[:, drawn] += np.where(known, values, 0.0)
            count[:, drawn] += known
    kendall, spearman = (t[c > 0] / c[c > 0] for t, c in zip(total, count, strict=True))
    return kendall, spearman


def _correlations(score: Floats, outcome: Floats) -> Floats:
    """τ-b and ρ of each row `(R, n)`, as `(2, R)`; NaN where a row has no order.

    τ-b = Σ sᵢⱼ oᵢⱼ / √(Σ sᵢⱼ² Σ oᵢⱼ²) over the signs of the differences (Kendall 1945). The mean
    of these signs over j is the rank of i, mid-ranks for ties, but for a factor and a constant, so
    that their product-moment correlation is ρ.
    """
    signs = [np.sign(each[:, :, None] - each[:, None, :]) for each in (score, outcome)]
    ranks = [each.mean(axis=2) for each in signs]
    flat = [each.reshape(len(each), -1) for each in signs]
    return np.stack([_cosine(*flat), _cosine(*ranks)])


def _cosine(first: Floats, second: Floats) -> Floats:
    lengths = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    out = np.full(len(first), np.nan)
    cosine: Floats = np.divide((first * second).sum(axis=1), lengths, out=out, where=lengths > 0)
    return cosine


def _percentiles(values: Floats) -> Interval:
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(float(low), float(high))
