from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from transfer_kit.errors import UserError
from transfer_kit.evaluation.statistics import (
    bootstrap_f1,
    mean_over_seeds,
    paired_difference,
    pooled_f1,
    precision_recall_f1,
    wilcoxon_signed_rank,
)


def cases(count, seed=0, recall=0.8):
    random = np.random.default_rng(seed)
    nuclei = random.integers(20, 200, count)
    true = random.binomial(nuclei, random.beta(recall * 20, (1 - recall) * 20, count))
    return np.stack([true, random.binomial(true, 0.2), nuclei - true], axis=1)


def scored(counts):
    return SimpleNamespace(case_counts={f"case {i}": tuple(row) for i, row in enumerate(counts)})


def test_precision_recall_and_f1_of_hand_worked_counts():
    precision, recall, f1 = precision_recall_f1([6, 2, 4])
    assert (precision, recall) == (0.75, 0.6)
    assert f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([0, 0, 0], (1, 1, 1)),
        ([0, 0, 5], (0, 0, 0)),
        ([0, 5, 0], (0, 0, 0)),
        ([3, 0, 0], (1, 1, 1)),
    ],
)
def test_ratios_of_nothing_are_defined_and_warn_of_nothing(counts, expected, recwarn):
    assert tuple(float(value) for value in precision_recall_f1(counts)) == expected
    assert not recwarn.list


def test_the_bootstrap_equals_a_plain_loop_over_resampled_cases():
    counts = cases(30)
    random = np.random.default_rng(1)
    loop = [pooled_f1(counts[random.integers(0, 30, 30)]) for _ in range(4000)]
    interval = bootstrap_f1(counts, seed=3)
    assert interval.low == pytest.approx(np.quantile(loop, 0.025), abs=0.004)
    assert interval.high == pytest.approx(np.quantile(loop, 0.975), abs=0.004)
    assert interval.low < pooled_f1(counts) < interval.high


def test_the_bootstrap_repeats_with_its_seed():
    assert bootstrap_f1(cases(12), seed=4) == bootstrap_f1(cases(12), seed=4)
    assert bootstrap_f1(cases(12), seed=4) != bootstrap_f1(cases(12), seed=5)


def test_a_single_case_has_no_interval():
    assert bootstrap_f1([[5, 1, 1]]) == (None, None)


def test_alike_cases_have_an_interval_of_no_width():
    assert bootstrap_f1([[8, 2, 2]] * 5) == pytest.approx((0.8, 0.8))


def test_pairing_narrows_the_interval_of_a_difference():
    second = cases(20)
    better = second + np.array([2, -1, -2]) * (second[:, 1:].min(axis=1, keepdims=True) > 2)
    together = paired_difference(scored(better), scored(second))
    assert together.difference == pytest.approx(pooled_f1(better) - pooled_f1(second))
    assert 0 < together.low < together.difference < together.high
    alone = bootstrap_f1(second)
    assert together.high - together.low < alone.high - alone.low
    assert together.as_dict()["n_cases"] == 20


def test_the_difference_of_a_detector_from_itself_is_zero():
    same = paired_difference(scored(cases(9)), scored(cases(9)))
    assert (same.difference, same.low, same.high) == (0, 0, 0)


def test_a_difference_on_one_case_has_no_interval():
    only = paired_difference(scored([[4, 1, 1]]), scored([[3, 1, 2]]))
    assert (only.low, only.high, only.n_cases) == (None, None, 1)


def test_detectors_scored_on_unlike_cases_are_not_compared():
    with pytest.raises(UserError, match="'case 3' was scored with only one of them; score both"):
        paired_difference(scored(cases(4)), scored(cases(3)))


def test_the_signed_rank_test_agrees_with_scipy_and_counts_the_pairs_that_differ():
    first, second = [0.8, 0.7, 0.9, 0.6, 0.75], [0.7, 0.72, 0.8, 0.5, 0.75]
    outcome = wilcoxon_signed_rank(first, second)
    assert outcome.p_value == pytest.approx(stats.wilcoxon(first, second).pvalue)
    assert outcome.n_differing == 4


def test_nothing_speaks_against_equal_figures():
    assert wilcoxon_signed_rank([0.5, 0.6], [0.5, 0.6]).p_value == 1
    with pytest.raises(ValueError, match="pairs are needed, but got 1 and 2 figures"):
        wilcoxon_signed_rank([0.5], [0.5, 0.6])


def test_the_mean_over_seeds_has_students_interval():
    mean = mean_over_seeds([0.80, 0.82, 0.84])
    expected = stats.t.interval(0.95, 2, loc=0.82, scale=0.02 / np.sqrt(3))
    assert (mean.mean, mean.sd, mean.n_seeds) == (pytest.approx(0.82), pytest.approx(0.02), 3)
    assert (mean.low, mean.high) == pytest.approx(expected)


def test_one_seed_has_a_mean_and_no_spread():
    assert mean_over_seeds([0.8]).sd is None
    with pytest.raises(ValueError, match="a mean needs at least one seed"):
        mean_over_seeds([])
