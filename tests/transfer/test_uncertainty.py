from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import entropy
from toy import MPP, ToySample, toy_detector

from transfer_kit.data.nuclei import Nuclei
from transfer_kit.transfer.uncertainty import (
    VIEWS,
    ScoreScale,
    View,
    Votes,
    binary_entropy,
    doubts_of,
    gather_votes,
    joined,
)


def found(*points_and_scores):
    points = [point for point, _ in points_and_scores]
    scores = [score for _, score in points_and_scores]
    return Nuclei(np.array(points, np.float32).reshape(-1, 2), scores, ("",) * len(scores))


@pytest.mark.parametrize("view", [View(*each) for each in product(range(4), (False, True))])
def test_points_of_a_view_come_back_to_where_they_are_in_the_image(view):
    image = np.zeros((5, 7, 3), np.uint8)
    image[1, 4] = 200
    rows, columns = np.nonzero(view.of(image)[..., 0])
    there = np.stack([columns, rows], axis=1).astype(np.float32)
    np.testing.assert_array_equal(view.back(there, (5, 7)), [[4, 1]])


def test_the_views_are_different_and_the_first_is_the_image_itself():
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert len({view.of(image).tobytes() for view in VIEWS}) == len(VIEWS) == 4
    np.testing.assert_array_equal(VIEWS[0].of(image), image)


def test_candidates_of_one_nucleus_are_one_place():
    votes = joined(
        [
            found(((10, 10), 0.9), ((30, 10), 0.6)),
            found(((11, 10), 0.8), ((50, 50), 0.7)),
            found(((10, 11), 0.5), ((51, 50), 0.4)),
        ],
        radius_px=3,
        faintest=0.1,
    )
    np.testing.assert_array_equal(votes.points, [[10, 10], [30, 10], [50, 50]])
    nan = np.nan
    np.testing.assert_allclose(votes.scores, [[0.9, 0.8, 0.5], [0.6, nan, nan], [nan, 0.7, 0.4]])


def test_a_place_too_faint_in_every_view_is_in_no_doubt():
    views = [found(((10, 10), 0.05), ((30, 30), 0.05)), found(((10, 10), 0.2))]
    votes = joined(views, radius_px=3, faintest=0.1)
    np.testing.assert_array_equal(votes.points, [[10, 10]])
    assert len(joined([found(), found()], radius_px=3, faintest=0.1).points) == 0


def test_the_threshold_is_a_coin_toss_and_an_ordinary_detection_is_sure():
    scale = ScoreScale(threshold=0.4, ordinary=0.8)
    chances = scale.chances(np.array([0.0, 0.4, 0.8, 0.6, 2.0, np.nan]))
    np.testing.assert_allclose(chances[:3], [0.01, 0.5, 0.99])
    assert chances[3] == pytest.approx(1 / (1 + 99**-0.5))
    assert chances[4] == pytest.approx(1)
    assert chances[5] == 0


def test_the_scale_fits_the_scores_of_any_codec():
    for unit in (1, 0.01, 40):  # as well for distances in µm as for probabilities
        votes = Votes(np.zeros((3, 2), np.float32), unit * np.array([[0.1], [0.5], [0.9]]))
        scale = ScoreScale.of(0.4 * unit, [votes])
        assert scale.ordinary == pytest.approx(0.7 * unit)
        chances = scale.chances(votes.scores)
        np.testing.assert_allclose(chances, ScoreScale(0.4, 0.7).chances(votes.scores / unit))


def test_a_scale_without_a_detection_or_at_threshold_zero_still_orders_scores():
    nothing = ScoreScale.of(0.5, [Votes(np.zeros((1, 2), np.float32), np.array([[0.2]]))])
    assert nothing.chances(np.array([0.2])) < 0.5
    assert ScoreScale.of(0.5, []).ordinary == 0.5
    zero = ScoreScale(0.0, 0.6)
    assert zero.chances(np.array([0.0])) == 0.5
    assert zero.chances(np.array([0.6])) == pytest.approx(0.99)


def test_entropy_is_that_of_scipy():
    chances = np.array([0, 0.01, 0.3, 0.5, 1])
    expected = [entropy([p, 1 - p], base=2) for p in chances]
    np.testing.assert_allclose(binary_entropy(chances), expected, atol=1e-12)


def test_doubt_is_where_views_disagree_and_where_scores_are_at_the_threshold():
    nan = np.nan
    scores = np.array([[0.9, 0.9, 0.9, 0.9], [0.9, nan, 0.9, nan], [0.4] * 4, [0.9, 0.9, 0.9, nan]])
    doubts = doubts_of(Votes(np.zeros((4, 2), np.float32), scores), ScoreScale(0.4, 0.8))
    sure, half, margin, most = doubts.bits
    assert sure < 0.05
    assert half == pytest.approx(1, abs=0.01)
    assert margin == pytest.approx(1)
    assert most == pytest.approx(entropy([0.25, 0.75], base=2), abs=0.01)
    nowhere = Votes(np.zeros((0, 2), np.float32), np.zeros((0, 4)))
    assert len(doubts_of(nowhere, ScoreScale(0.4, 0.8)).bits) == 0


def test_each_view_is_looked_at_and_its_nuclei_are_put_back():
    """A detector that sees the left half of what it is shown alone."""
    image = np.full((20, 30, 3), 240, np.uint8)
    image[5, 8] = image[5, 21] = image[12, 8] = 0

    def candidates(shown, mpp):
        assert mpp == 0.5
        rows, columns = np.nonzero(shown[:, : shown.shape[1] // 2, 0] == 0)
        return found(*(((x, y), 0.9) for x, y in zip(columns, rows, strict=True)))

    detector = SimpleNamespace(candidates=candidates, card=SimpleNamespace(threshold=0.5))
    votes = gather_votes(detector, image, 0.5, radius_um=1.0)
    seen = {
        tuple(point): row for point, row in zip(votes.points.tolist(), votes.scores, strict=True)
    }
    for (x, y), row in seen.items():
        for view, score in zip(VIEWS, row, strict=True):
            marked = np.zeros_like(image)
            marked[int(y), int(x)] = 1
            shown = view.of(marked)[..., 0]
            assert bool(np.isfinite(score)) == bool(shown[:, : shown.shape[1] // 2].any())
    assert set(seen) == {(8.0, 5.0), (21.0, 5.0), (8.0, 12.0)}


def test_a_detector_of_the_zoo_is_asked_in_its_own_coordinates():
    detector, sample = toy_detector(seed=1), ToySample(0)
    detector.card.threshold = 0.0
    votes = gather_votes(detector, sample.image(), MPP, radius_um=2.0)
    first = detector.candidates(sample.image(), MPP)
    by_place = np.isfinite(votes.scores[:, 0])
    np.testing.assert_array_equal(votes.points[by_place], first.points)
    np.testing.assert_allclose(votes.scores[by_place, 0], first.scores)
    assert np.isfinite(votes.scores).any(axis=0).all()
