from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from transfer_kit.transfer.transferability import h_score, log_evidence, logme, with_bias


def drawn(n, d, *, seed=0, signal=1.0):
    """Features of two kinds of place, which differ in the first `d // 2` columns."""
    rng = np.random.default_rng(seed)
    labels = np.array(["nucleus", ""])[rng.integers(0, 2, n)]
    features = rng.normal(0.5, 1, (n, d)) @ rng.normal(0, 1, (d, d))
    features[:, : d // 2] += signal * (labels == "nucleus")[:, None]
    return features, labels.tolist()


def greatest_evidence(features, target):
    """By the definition: ln N(y; 0, F Fᵀ/α + I/β), maximised over both precisions."""
    n = len(target)

    def lost(logs):
        prior, noise = np.exp(logs)
        covariance = prior * features @ features.T + noise * np.eye(n)
        return -stats.multivariate_normal.logpdf(target, np.zeros(n), covariance) / n

    ends = [
        optimize.minimize(
            lost, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10}
        )
        for start in ([0, 0], [-4, -1], [-8, -2])
    ]
    return -min(end.fun for end in ends)


@pytest.mark.parametrize(("n", "d", "signal"), [(40, 3, 1), (60, 8, 3), (12, 30, 1), (50, 2, 0.5)])
def test_the_evidence_is_the_greatest_over_both_precisions(n, d, signal):
    features, labels = drawn(n, d, seed=n, signal=signal)
    target = np.array([label == "nucleus" for label in labels], float)
    assert log_evidence(features, target) == pytest.approx(
        greatest_evidence(features, target), abs=2e-5
    )


def test_the_evidence_of_one_orthonormal_feature_worked_by_hand():
    # Along the feature y has 2² = 1/α + 1/β; the other two directions share 1² = 2/β. So
    # 3 L = -3/2 ln 2π - ½ ln 4 - 2/2 ln ½ - 3/2 = -3/2 (ln 2π + 1).
    evidence = log_evidence([[1.0], [0.0], [0.0]], [2.0, 1.0, 0.0])
    assert evidence == pytest.approx(-0.5 * (np.log(2 * np.pi) + 1))


def test_features_that_say_nothing_leave_the_evidence_of_noise_alone():
    target = np.array([1.0, 1.0, 0.0, 0.0])
    noise = stats.norm(0, np.sqrt(0.5)).logpdf(target).mean()
    for features in (np.zeros((4, 2)), [[1.0], [-1.0], [2.0], [3.0]]):
        assert log_evidence(features, target) == pytest.approx(noise)


def test_features_that_are_the_label_give_a_finite_and_far_greater_score():
    features, labels = drawn(40, 4)
    exact = np.column_stack([features, [label == "nucleus" for label in labels]])
    exact = np.column_stack([exact, [label != "nucleus" for label in labels]])
    assert np.isfinite(logme(exact, labels))
    assert logme(exact, labels) > logme(features, labels) + 1


def test_logme_is_the_mean_over_the_labels():
    features, _ = drawn(30, 4)
    labels = ["a", "b", "c"] * 10
    each = [greatest_evidence(features, np.array([x == y for x in labels], float)) for y in "abc"]
    assert logme(features, labels) == pytest.approx(np.mean(each), abs=2e-5)


def test_size_rotation_and_repeated_columns_do_not_change_logme():
    features, labels = drawn(50, 5)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    for other in (1000 * features, features @ turn, np.hstack([features, features])):
        assert logme(other, labels) == pytest.approx(logme(features, labels), abs=1e-6)


@pytest.mark.parametrize("score", [logme, h_score])
def test_clearer_features_score_higher(score):
    values = [score(*drawn(200, 6, signal=signal)) for signal in (0, 1, 4)]
    assert values == sorted(values)
    assert values[2] > values[0] + 0.1


def test_with_a_bias_features_that_are_zero_in_the_background_tell_it():
    rng = np.random.default_rng(0)
    labels = ["nucleus", ""] * 30
    features = np.array([[label == "nucleus"] for label in labels]) + rng.normal(0, 0.05, (60, 1))
    assert logme(features, labels) < 0.5
    assert logme(with_bias(features), labels) > 1


def test_the_bias_is_a_column_of_the_features_own_size():
    found = with_bias([[3.0, 0.0], [0.0, -4.0]])
    assert np.array_equal(found[:, :2], [[3, 0], [0, -4]])
    assert found[:, 2] == pytest.approx([2.5, 2.5])  # √(25 / 4)


def test_the_h_score_worked_by_hand():
    # Mean 3; squares about it 9 + 1 + 1 + 9 = 20; of the labels' means, 1 and 5, 4 · 4 = 16.
    assert h_score([[0.0], [2.0], [4.0], [6.0]], ["a", "a", "b", "b"]) == pytest.approx(0.8)


def test_the_h_score_is_by_its_definition():
    features, _ = drawn(60, 4, seed=5)
    labels = ["a", "b", "c"] * 20
    features[::3] += 0.7
    expected = np.array(
        [np.mean([f for f, x in zip(features, labels, strict=True) if x == y], 0) for y in labels]
    )
    inverse = np.linalg.inv(np.cov(features.T))
    assert h_score(features, labels) == pytest.approx(np.trace(inverse @ np.cov(expected.T)))


def test_the_h_score_of_two_labels_is_what_a_linear_fit_explains():
    features, labels = drawn(80, 5)
    target = np.array([label == "nucleus" for label in labels], float)
    design = np.column_stack([features, np.ones(80)])
    fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
    assert h_score(features, labels) == pytest.approx(fitted.var() / target.var())


def test_constant_and_repeated_columns_do_not_change_the_h_score():
    features, labels = drawn(80, 5)
    more = np.column_stack([features, features[:, :2], np.full(80, 7.0)])
    assert h_score(more, labels) == pytest.approx(h_score(features, labels), abs=1e-8)


@pytest.mark.parametrize("score", [logme, h_score])
@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros((3, 2)), ["a", "b"], "need one label a row, but got 2"),
        (np.zeros((2, 2)), ["a", "a"], "two different labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(score, features, labels, message):
    with pytest.raises(ValueError, match=message):
        score(features, labels)


def test_a_target_of_nothing_is_refused():
    with pytest.raises(ValueError, match="zero everywhere"):
        log_evidence(np.ones((2, 1)), [0.0, 0.0])
