from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from transfer_kit.transfer.distances import frechet_distance, relative_frechet_distance


def sample(n, d, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift


def by_the_formula(a, b):
    first, second = np.cov(a.T), np.cov(b.T)
    root = np.real(linalg.sqrtm(first @ second))
    apart = a.mean(0) - b.mean(0)
    return apart @ apart + np.trace(first + second - 2 * root)


@pytest.mark.parametrize(("n", "m", "d"), [(50, 80, 4), (30, 30, 9)])
def test_the_frechet_distance_is_by_its_formula(n, m, d):
    a, b = sample(n, d, 0), sample(m, d, 1, shift=0.5)
    assert frechet_distance(a, b) == pytest.approx(by_the_formula(a, b), rel=1e-6)


def test_the_frechet_distance_in_one_dimension_is_of_means_and_deviations():
    a, b = np.array([[0.0], [2.0]]), np.array([[5.0], [9.0]])
    # Means 1 and 7; deviations √2 and 2√2: 36 + 2.
    assert frechet_distance(a, b) == pytest.approx(38)


def test_fewer_samples_than_features_are_no_hindrance():
    a, b = sample(5, 40, 0), sample(7, 40, 1)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) > 1
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_the_relative_distance_does_not_depend_on_the_features_size():
    a, b = sample(40, 3, 0), sample(40, 3, 1, shift=1)
    assert relative_frechet_distance(9 * a, 9 * b) == pytest.approx(relative_frechet_distance(a, b))
    assert relative_frechet_distance(a, b) == pytest.approx(
        frechet_distance(a, b) / np.trace(np.cov(a.T))
    )
    assert relative_frechet_distance(np.ones((4, 2)), b[:, :2]) is None


def test_samples_of_one_row_or_other_columns_are_refused():
    for a, b in ((np.zeros((1, 2)), np.zeros((3, 2))), (np.zeros((3, 2)), np.zeros((3, 3)))):
        with pytest.raises(ValueError, match="at least two rows"):
            frechet_distance(a, b)
