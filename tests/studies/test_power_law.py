from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import differential_evolution

from transfer_kit.studies.power_law import PowerLaw, fit_learning_curve, fit_power_law

SIZES = np.array([2, 4, 8, 16, 32])


def test_an_exact_power_law_is_found_again():
    law = fit_power_law(SIZES, PowerLaw(0.85, 0.3, 0.7)(SIZES))
    assert (law.a, law.b, law.c) == pytest.approx((0.85, 0.3, 0.7), abs=1e-4)


def test_a_fit_to_noise_is_as_good_as_that_of_a_global_search():
    values = PowerLaw(0.85, 0.3, 0.7)(SIZES) + np.random.default_rng(0).normal(0, 0.02, 5)
    law = fit_power_law(SIZES, values)

    def squares(numbers):
        a, lacking, c = numbers
        return float(((a - lacking * (SIZES / 2) ** -c - values) ** 2).sum())

    best = differential_evolution(squares, [(0, 1), (0, 1), (0.05, 3)], seed=0, tol=1e-10)
    assert float(((law(SIZES) - values) ** 2).sum()) <= best.fun * 1.001


def test_the_next_point_costs_as_many_images_as_worked_by_hand():
    law = PowerLaw(a=0.9, b=1.0, c=1.0)  # .8 with 10 images, .81 where 1 / n is .09
    assert law.more_images(10) == pytest.approx(1 / 0.09 - 10)
    assert math.isinf(law.more_images(200))  # .895: the next point lies above the end, .9


def test_fewer_than_three_sizes_make_no_curve():
    with pytest.raises(ValueError, match="needs 3 different numbers"):
        fit_power_law([2, 2, 4], [0.5, 0.5, 0.6])


def test_equal_seeds_leave_no_doubt_and_unlike_ones_an_interval_around_the_fit():
    pairs = [(n, float(PowerLaw(0.85, 0.3, 0.7)(n))) for n in SIZES]
    sure = fit_learning_curve({0: pairs, 1: pairs, 2: pairs})
    low, high = sure.interval([8, 64])
    assert low == pytest.approx(high, abs=1e-6)
    apart = fit_learning_curve(
        {seed: [(n, f1 + shift) for n, f1 in pairs] for seed, shift in enumerate((-0.05, 0, 0.05))}
    )
    low, high = apart.interval([8])
    assert low[0] < apart.law(8) < high[0]
    # All three draws of one seed come up once in 27 times each: the ends lie at the outer seeds.
    assert high[0] - low[0] == pytest.approx(0.1, abs=0.005)


def test_one_seed_tells_no_interval():
    curve = fit_learning_curve({0: [(n, float(PowerLaw(0.85, 0.3, 0.7)(n))) for n in SIZES]})
    assert curve.interval([8]) is None
    cost, ends = curve.next_point()
    assert cost == pytest.approx(PowerLaw(0.85, 0.3, 0.7).more_images(32), rel=0.01)
    assert ends is None
