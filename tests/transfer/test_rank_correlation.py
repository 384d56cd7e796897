from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from transfer_kit.errors import UserError
from transfer_kit.transfer.rank_correlation import rank_correlation


def table(values, target="eye"):
    return {target: {f"base-{number}": float(value) for number, value in enumerate(values)}}


@pytest.mark.parametrize(
    ("scores", "outcomes"),
    [
        ([1, 2, 3, 4], [10, 30, 20, 40]),
        ([0.5, 0.5, 0.2, 0.9, 0.1], [0.7, 0.8, 0.6, 0.6, 0.3]),  # ties in both
        ([3, 1, 2], [1, 3, 2]),
    ],
)
def test_both_coefficients_are_scipys(scores, outcomes):
    found = rank_correlation(table(scores), table(outcomes), resamples=10)
    assert found.kendall == pytest.approx(stats.kendalltau(scores, outcomes).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(scores, outcomes).statistic)
    assert (found.n_targets, found.n_pairs) == (1, len(scores))


def test_several_targets_are_ranked_apart_and_averaged():
    # Pooled, the easier target alone would make any score look good.
    scores = table([1, 2, 3], "eye") | table([11, 12, 13], "liver")
    outcomes = table([0.1, 0.2, 0.3], "eye") | table([0.9, 0.8, 0.7], "liver")
    found = rank_correlation(scores, outcomes)
    assert found.kendall == pytest.approx(0)
    assert (found.n_targets, found.n_pairs) == (2, 6)
    assert found.kendall_low == -1
    assert found.kendall_high == 1


def test_the_interval_is_of_resampled_bases():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=12)
    outcomes = scores + rng.normal(0, 0.8, 12)
    found = rank_correlation(table(scores), table(outcomes), seed=3)
    drawn = np.random.default_rng(8).integers(12, size=(1500, 12))
    slow = [stats.kendalltau(scores[each], outcomes[each]).statistic for each in drawn]
    low, high = np.nanquantile(slow, (0.025, 0.975))
    assert (found.kendall_low, found.kendall_high) == pytest.approx((low, high), abs=0.05)
    assert found.kendall_low < found.kendall < found.kendall_high
    assert found == rank_correlation(table(scores), table(outcomes), seed=3)


def test_a_sure_order_has_a_narrow_interval():
    found = rank_correlation(table(range(8)), table(range(8)))
    assert (found.kendall, found.kendall_low, found.kendall_high) == (1, 1, 1)
    assert (found.spearman, found.spearman_low) == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("scores", "outcomes", "message"),
    [
        (table([1, 2, 3]), table([1, 2, 3], "liver"), "only one of them has 'eye'"),
        ({}, {}, "both are empty"),
        (table([1, 2, 3]), table([1, 2]), "on eye only one of them has 'base-2'"),
        (table([1, 2]), table([1, 2]), "at least 3 bases, but eye has 2"),
        (table([1, 2, float("nan")]), table([1, 2, 3]), "figure of eye is missing"),
        (table([1, 2, 3]), table([1, 1, 1]), "All bases of eye are equal"),
    ],
)
def test_tables_that_do_not_fit_are_told(scores, outcomes, message):
    with pytest.raises(UserError, match=message):
        rank_correlation(scores, outcomes)
