from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from transfer_kit.data.tiles import Window
from transfer_kit.transfer.suggestion import (
    PLACE_UM,
    SMALLEST_UM,
    Regions,
    choose_regions,
    describe,
    draw_feature_places,
    standardised,
    uncertainty_in,
    windows_over,
)
from transfer_kit.transfer.uncertainty import Doubts


def regions(features, weights, *, image=None, windows=None):
    features = np.asarray(features, float).reshape(len(weights), -1)
    count = len(weights)
    return Regions(
        image=np.arange(count) if image is None else np.asarray(image),
        windows=np.array([[0, 0, 9, 9]] * count if windows is None else windows),
        features=features,
        uncertainty=np.asarray(weights, float),
    )


def indices(picks):
    return [pick.index for pick in picks]


def left(features, weights, chosen, covered=()):
    """The greatest weight × distance from the nearest centre, from the formula."""
    centres = [features[i] for i in chosen] + list(covered)
    return max(
        w * min(np.linalg.norm(f - c) for c in centres)
        for f, w in zip(features, weights, strict=True)
    )


@pytest.mark.parametrize("seed", range(30))
def test_the_choice_is_within_the_known_bound_of_the_best_one_by_brute_force(seed):
    rng = np.random.default_rng(seed)
    features, weights = rng.normal(size=(9, 2)), rng.uniform(0.1, 1, 9) ** rng.integers(1, 4)
    for count in (1, 2, 3):
        chosen = indices(choose_regions(regions(features, weights), images=count))
        best = min(left(features, weights, each) for each in combinations(range(9), count))
        bound = min(3, 1 + weights.max() / weights.min())
        assert left(features, weights, chosen) <= bound * best + 1e-9
        equal = np.ones(9)
        chosen = indices(choose_regions(regions(features, equal), images=count))
        best = min(left(features, equal, each) for each in combinations(range(9), count))
        assert left(features, equal, chosen) <= 2 * best + 1e-9  # Gonzalez 1985


@pytest.mark.parametrize("seed", range(10))
def test_each_choice_is_the_greatest_product_by_looking_at_all(seed):
    rng = np.random.default_rng(seed)
    features, weights, covered = (
        rng.normal(size=(12, 3)),
        rng.uniform(size=12),
        rng.normal(size=(2, 3)),
    )
    picks = choose_regions(regions(features, weights), images=5, covered=covered)
    centres = list(covered)
    for number, pick in enumerate(picks):
        rest = [i for i in range(12) if i not in indices(picks[:number])]
        away = {i: min(np.linalg.norm(features[i] - c) for c in centres) for i in rest}
        assert pick.index == max(rest, key=lambda i: weights[i] * away[i])
        assert pick.distance == pytest.approx(away[pick.index])
        centres.append(features[pick.index])


def test_the_first_is_the_most_uncertain_where_nothing_is_labelled():
    picks = choose_regions(regions([[0], [5], [9]], [0.2, 0.9, 0.5]), images=1)
    assert (picks[0].index, picks[0].distance) == (1, None)


def test_an_equal_of_what_is_chosen_or_labelled_comes_last():
    features, weights = [[0], [0], [1]], [0.9, 0.8, 0.1]
    assert indices(choose_regions(regions(features, weights), images=3)) == [0, 2, 1]
    picks = choose_regions(regions(features, weights), images=3, covered=[[0.0]])
    assert indices(picks) == [2, 0, 1]
    assert [pick.distance for pick in picks] == [1, 0, 0]


def test_where_nothing_is_in_doubt_distance_decides_and_then_the_order():
    assert indices(choose_regions(regions([[0], [1], [5], [4]], [0, 0, 0, 0]), images=3)) == [
        0,
        2,
        1,
    ]
    assert indices(choose_regions(regions([[2], [2]], [1, 1]), images=2)) == [0, 1]


def test_an_image_gives_as_many_regions_as_asked_and_they_do_not_overlap():
    windows = [[0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 10, 10], [20, 0, 10, 10]] * 2
    image = [0] * 4 + [1] * 4
    weights = [9, 8, 7, 6, 1, 1, 1, 1]
    found = regions(np.arange(8), weights, image=image, windows=windows)
    picks = indices(choose_regions(found, images=2, per_image=2))
    assert picks[0] == 0
    assert len(picks) == 4
    by_image = [[i for i in picks if image[i] == each] for each in (0, 1)]
    for group in by_image:
        first, second = sorted(group)
        assert abs(windows[first][0] - windows[second][0]) >= 10
    assert indices(choose_regions(found, images=1, per_image=9)) == [0, 3, 2]


def test_fewer_images_than_asked_for_are_all_taken():
    assert sorted(indices(choose_regions(regions([[0], [1]], [1, 1]), images=5))) == [0, 1]


def test_windows_cover_the_image_and_each_half_of_the_next():
    windows = windows_over((50, 70), 20)
    covered = np.zeros((50, 70), bool)
    for x0, y0, width, height in windows:
        assert (width, height) == (20, 20)
        covered[y0 : y0 + 20, x0 : x0 + 20] = True
    assert covered.all()
    for edge, axis in ((70, 0), (50, 1)):
        starts = sorted({window[axis] for window in windows})
        assert (starts[0], starts[-1]) == (0, edge - 20)
        assert max(np.diff(starts)) <= 10
    assert windows_over((20, 20), 20) == [Window(0, 0, 20, 20)]
    assert windows_over((15, 12), 20) == [Window(0, 0, 12, 15)]


@pytest.mark.parametrize("size", [(40, 90), (7, 500), (41, 43), (3, 3)])
@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_every_region_that_may_be_asked_for_has_a_place_to_look_at(size, mpp):
    places = draw_feature_places(size, mpp, np.random.default_rng(0))
    for window in windows_over(size, int(np.ceil(SMALLEST_UM / mpp))):
        assert np.isfinite(describe(np.ones((len(places), 1)), places, [window])).all()
    assert (places >= -0.5).all()
    assert (places < np.array(size[::-1]) - 0.5).all()
    assert len(places) == np.prod(np.ceil(np.array(size) * mpp / PLACE_UM))


def test_a_region_is_described_by_mean_and_deviation_of_its_places():
    places = np.array([[0, 0], [9.4, 9.4], [9.6, 0], [30, 30]], np.float32)
    features = np.array([[1.0, 0], [3, 4], [50, 50], [7, 7]])
    found = describe(features, places, [Window(0, 0, 10, 10), Window(20, 20, 20, 20)])
    np.testing.assert_allclose(found, [[2, 2, 1, 2], [7, 7, 0, 0]])
    assert describe(features, places, []).shape == (0, 4)


def test_uncertainty_is_bits_per_mm2_of_the_window():
    doubts = Doubts(np.array([[1, 1], [8, 8], [12, 1]], np.float32), np.array([1.0, 0.5, 0.25]))
    found = uncertainty_in(doubts, [Window(0, 0, 10, 10), Window(10, 0, 10, 20)], 0.5)
    np.testing.assert_allclose(found, [1.5 / (25 * 1e-6), 0.25 / (50 * 1e-6)])


def test_channels_are_weighed_by_their_variation_over_all():
    first, second = np.array([[0.0, 5, 10], [4, 5, 30]]), np.array([[2.0, 5, 20]])
    a, b = standardised(first, second)
    together = np.concatenate([a, b])
    np.testing.assert_allclose(together.std(axis=0), [1, 0, 1])
    np.testing.assert_allclose(together[:, 1], 5)
