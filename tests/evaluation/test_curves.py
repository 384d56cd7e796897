from __future__ import annotations

import numpy as np
import pytest
from scattered_nuclei import evaluated, found_at, scattered

from transfer_kit.errors import UserError
from transfer_kit.evaluation import evaluate, pool_curves, precision_recall_curve
from transfer_kit.evaluation.counting import score_image


def counted_anew(pairs, threshold, radius_um):
    return sum(
        score_image(
            pair.truth, pair.found.above(threshold), radius_px=radius_um / pair.mpp, size=pair.size
        ).counts
        for pair in pairs
    )


@pytest.mark.parametrize("region", [None, (40, 40, 150, 160)])
@pytest.mark.parametrize("count", [40, 400])
def test_the_curve_equals_matching_anew_at_every_threshold(region, count):
    pairs = [scattered(seed, count=count, region=region) for seed in range(3)]
    curve = precision_recall_curve(pairs, radius_um=4)
    assert (np.diff(curve.thresholds) < 0).all()
    for threshold, counts in zip(curve.thresholds, curve.counts, strict=True):
        assert counts.tolist() == counted_anew(pairs, threshold, 4).tolist()


def test_counts_between_and_beyond_the_scores_are_those_of_the_detections_kept():
    pairs = [scattered(seed) for seed in range(2)]
    curve = precision_recall_curve(pairs, radius_um=4)
    for threshold in (0.0, 0.333, 0.5, 0.61, 2.0):
        assert curve.counts_at(threshold).tolist() == counted_anew(pairs, threshold, 4).tolist()


def test_average_precision_of_hand_worked_detections():
    # In falling order true, false, true; a third nucleus is never found.
    found = found_at([[10, 10], [150, 150], [50, 50]], [0.9, 0.8, 0.7])
    curve = precision_recall_curve([evaluated([[10, 10], [50, 50], [90, 20]], found)], radius_um=2)
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 3, 1 / 3, 2 / 3])
    assert curve.average_precision == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)


def test_average_precision_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    truth = np.stack(np.meshgrid(np.arange(10, 200, 20), np.arange(10, 200, 20)), -1).reshape(-1, 2)
    away = truth[50:] + 10.0
    scores = np.round(np.concatenate([random.beta(4, 2, 100), random.beta(2, 3, 50)]), 2)
    found = found_at(np.concatenate([truth, away]), scores)
    image = evaluated(truth, found, size=(220, 220))
    curve = precision_recall_curve([image], radius_um=2)
    expected = metrics.average_precision_score([1] * 100 + [0] * 50, scores)
    assert curve.average_precision == pytest.approx(expected)
    # Nuclei that no detection is near lower the recall, which scikit-learn cannot know of.
    missed = evaluated([[5, 5]] * 25, found_at([]), case="never found")
    with_missed = precision_recall_curve([image, missed], radius_um=2)
    assert with_missed.average_precision == pytest.approx(expected * 100 / 125)


def test_a_pooled_curve_equals_the_curve_of_all_images():
    pairs = [scattered(seed) for seed in range(4)]
    whole = precision_recall_curve(pairs, radius_um=4)
    pooled = pool_curves([precision_recall_curve([pair], radius_um=4) for pair in pairs])
    np.testing.assert_array_equal(pooled.thresholds, whole.thresholds)
    np.testing.assert_array_equal(pooled.counts, whole.counts)


def test_the_curve_meets_the_scores_at_a_threshold():
    pairs = [scattered(seed) for seed in range(3)]
    scores = evaluate(pairs, radius_um=4, threshold=0.5)
    counts = precision_recall_curve(pairs, radius_um=4).counts_at(0.5)
    assert counts.tolist() == [scores.n_true, scores.n_false, scores.n_missed]


def test_nothing_found_or_nothing_known_gives_a_curve():
    nothing_found = precision_recall_curve([evaluated([[5, 5]], found_at([]))], radius_um=4)
    assert (len(nothing_found.thresholds), nothing_found.average_precision) == (0, 0)
    nothing_known = precision_recall_curve([evaluated([], found_at([[5, 5]]))], radius_um=4)
    assert nothing_known.average_precision is None


def test_curves_of_unlike_radii_are_not_pooled():
    curves = [precision_recall_curve([scattered(0)], radius_um=radius) for radius in (2, 4)]
    with pytest.raises(ValueError, match="curves of one radius are needed"):
        pool_curves(curves)


def test_no_image_at_all_is_an_error_that_says_the_mend():
    with pytest.raises(UserError, match="There is no image to score"):
        precision_recall_curve([], radius_um=4)
