from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from transfer_kit.evaluation import matching
from transfer_kit.evaluation.matching import allowed_pairs, match_points


def dense(reference, predicted, radius):
    distance = cdist(np.reshape(reference, (-1, 2)), np.reshape(predicted, (-1, 2)))
    forbidden = (min(distance.shape) + 1) * (radius + 1)
    pairs = linear_sum_assignment(np.where(distance <= radius, distance, forbidden))
    within = distance[pairs][distance[pairs] <= radius]
    return len(within), within.sum()


def brute_force(reference, predicted, radius):
    """Most pairs, then least distance, over every way to pair the two."""
    if len(reference) > len(predicted):
        reference, predicted = predicted, reference
    distance = cdist(reference, predicted)
    best = (0, 0.0)
    for order in permutations(range(len(predicted)), len(reference)):
        chosen = distance[range(len(reference)), order]
        chosen = chosen[chosen <= radius]
        best = min(best, (-len(chosen), chosen.sum()))
    return -best[0], best[1]


def assert_one_to_one(match, reference, predicted, radius):
    assert len(set(match.reference_index)) == len(set(match.predicted_index)) == len(match)
    apart = np.asarray(reference)[match.reference_index] - predicted[match.predicted_index]
    np.testing.assert_allclose(np.hypot(*apart.T), match.distances, atol=1e-9)
    assert (match.distances <= radius).all()


coordinates = st.integers(0, 12) | st.floats(0, 12, width=32, allow_subnormal=False)
few_points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(few_points, few_points, st.sampled_from([0.0, 1.0, 3.0, 20.0]))
def test_matching_equals_brute_force_over_permutations(reference, predicted, radius):
    match = match_points(reference, predicted, radius)
    count, total = brute_force(np.array(reference), np.array(predicted), radius)
    assert len(match) == count
    assert match.distances.sum() == pytest.approx(total, abs=1e-9)
    assert_one_to_one(match, np.array(reference), np.array(predicted), radius)


@pytest.mark.parametrize("side", [15, 60, 300])
@pytest.mark.parametrize("snapped", [False, True])
@pytest.mark.parametrize("large_component", [1, 2048])
def test_matching_equals_the_dense_hungarian_algorithm(side, snapped, large_component, monkeypatch):
    # Tiny limits send these small clouds through the portions and the decomposition as well.
    monkeypatch.setattr(matching, "_LARGE_COMPONENT", large_component)
    monkeypatch.setattr(matching, "_ROWS_A_PORTION", 5)
    random = np.random.default_rng(side)
    for _ in range(25):
        reference = random.random((random.integers(0, 80), 2)) * side
        predicted = random.random((random.integers(0, 80), 2)) * side
        if snapped:  # many distances alike, many of them zero
            reference, predicted = reference.round(), predicted.round()
        match = match_points(reference, predicted, 6)
        count, total = dense(reference, predicted, 6)
        assert len(match) == count
        assert match.distances.sum() == pytest.approx(total, abs=1e-8)
        assert_one_to_one(match, reference, predicted, 6)


def test_a_crowd_of_thousands_equals_the_dense_hungarian_algorithm():
    random = np.random.default_rng(0)
    reference = random.random((2500, 2)) * 550
    predicted = reference[:2300] + random.normal(0, 3, (2300, 2))
    match = match_points(reference, predicted, 16)
    count, total = dense(reference, predicted, 16)
    assert len(match) == count
    assert match.distances.sum() == pytest.approx(total)


def test_more_pairs_come_before_a_shorter_distance():
    # The nearest pair (1 px) would leave the others alone; both can be matched at 9 px.
    match = match_points([[0, 0], [10, 0]], [[9, 0], [19, 0]], radius=9)
    assert match.predicted_index.tolist() == [0, 1]
    assert match.distances.tolist() == [9, 9]


def test_the_gate_comes_before_the_assignment():
    # Without a gate the cheapest total is 0-0 and 1-1, of which the gate would leave one pair.
    reference, predicted = [[0, 0], [4, 0]], [[3, 0], [12, 0]]
    assert dense(reference, predicted, 100)[1] == 11
    match = match_points(reference, predicted, radius=3)
    assert (match.reference_index.tolist(), match.predicted_index.tolist()) == ([1], [0])


def test_points_outside_the_radius_never_match():
    assert len(match_points([[0, 0]], [[5.001, 0]], radius=5)) == 0


def test_the_radius_is_inclusive():
    reference, predicted = np.float32([[0, 0]]), np.float32([[3, 4]])
    assert match_points(reference, predicted, radius=5).distances.tolist() == [5]


def test_coinciding_points_match_at_distance_zero():
    match = match_points([[1, 1], [1, 1], [8, 8]], [[1, 1], [1, 1]], radius=0)
    assert sorted(match.predicted_index) == [0, 1]
    assert match.unmatched_reference.tolist() == [2]


def test_nothing_on_either_side_gives_no_pair():
    match = match_points([], np.zeros((3, 2), np.float32), radius=2)
    assert (len(match), match.n_reference, match.n_predicted) == (0, 0, 3)
    assert match.unmatched_predicted.tolist() == [0, 1, 2]
    assert len(match_points([], [], radius=2)) == 0


def test_the_order_of_points_changes_neither_count_nor_distance():
    random = np.random.default_rng(5)
    reference, predicted = random.random((300, 2)) * 100, random.random((280, 2)) * 100
    match = match_points(reference, predicted, 4)
    shuffled = match_points(random.permutation(reference), random.permutation(predicted), 4)
    assert len(match) == len(shuffled)
    assert match.distances.sum() == pytest.approx(shuffled.distances.sum())


def test_allowed_pairs_are_all_pairs_within_the_radius():
    random = np.random.default_rng(2)
    reference, predicted = random.random((30, 2)) * 20, random.random((40, 2)) * 20
    row, column, distance = allowed_pairs(reference, predicted, 5)
    expected = np.argwhere(cdist(reference, predicted) <= 5).tolist()
    assert sorted(map(list, zip(row, column, strict=True))) == expected
    np.testing.assert_allclose(distance, cdist(reference, predicted)[row, column])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_coordinate_that_is_no_number_is_refused(bad):
    with pytest.raises(ValueError, match=r"predicted must be finite, but point 1 is"):
        match_points([[0, 0]], [[0, 0], [1, bad]], radius=3)
    with pytest.raises(ValueError, match=r"reference must be finite, but point 0 is"):
        match_points([[bad, 0]], [[0, 0]], radius=3)


@pytest.mark.parametrize("radius", [-1, np.nan, np.inf])
def test_a_radius_that_is_no_length_is_refused(radius):
    with pytest.raises(ValueError, match="radius must be a finite number of at least 0"):
        match_points([[0, 0]], [[0, 0]], radius)


def test_points_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"reference must have the shape \(N, 2\)"):
        match_points(np.zeros((2, 3)), [[0, 0]], 1)
