from __future__ import annotations

import json

import numpy as np
import pytest
from scattered_nuclei import evaluated, found_at, scattered

from transfer_kit.data.annotation import Annotation
from transfer_kit.errors import UserError
from transfer_kit.evaluation import evaluate, paired_difference
from transfer_kit.evaluation.detection import class_f1
from transfer_kit.evaluation.statistics import bootstrap_f1, pooled_f1

PROMISED = {
    "f1", "precision", "recall", "f1_low", "f1_high", "distance_median",
    "n_images", "n_nuclei", "radius_um", "threshold",
}  # fmt: skip


def two_images():
    # 2 true at 1 and 3 px, 1 false, 1 missed; then, at another scale, 1 true at 2 px, 1 missed.
    first = evaluated(
        [[10, 10], [50, 50], [90, 90]],
        found_at([[11, 10], [50, 53], [150, 20], [90, 90]], [0.9, 0.8, 0.7, 0.2]),
        case="one",
        mpp=0.5,
    )
    second = evaluated([[20, 20], [60, 60]], found_at([[20, 22]], [0.6]), case="two", mpp=0.25)
    return [first, second]


def test_scores_of_hand_worked_images():
    scores = evaluate(two_images(), radius_um=2, threshold=0.5)
    assert (scores.n_true, scores.n_false, scores.n_missed) == (3, 1, 2)
    assert (scores.precision, scores.recall) == (0.75, 0.6)
    assert scores.f1 == pytest.approx(2 / 3)
    assert scores.image_f1_mean == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert (scores.n_images, scores.n_cases, scores.n_nuclei) == (2, 2, 5)
    assert dict(scores.case_counts) == {"one": (2, 1, 1), "two": (1, 0, 1)}


def test_distances_are_given_in_micrometres_and_in_pixels():
    scores = evaluate(two_images(), radius_um=2, threshold=0.5)
    um, px = [0.5, 1.5, 0.5], [1, 3, 2]
    assert scores.distance_mean == pytest.approx(np.mean(um))
    assert scores.distance_sd == pytest.approx(np.std(um, ddof=1))
    assert scores.distance_median == pytest.approx(0.5)
    assert (scores.distance_q1_px, scores.distance_median_px, scores.distance_q3_px) == (
        pytest.approx(tuple(np.quantile(px, (0.25, 0.5, 0.75))))
    )


def test_the_radius_is_in_micrometres_of_each_image():
    # 3 px are 1.5 µm in the first image; 2 px are 0.5 µm in the second.
    assert evaluate(two_images(), radius_um=1, threshold=0.5).n_true == 2


def test_the_threshold_itself_is_kept():
    assert evaluate(two_images(), radius_um=2, threshold=0.6).n_true == 3
    assert evaluate(two_images(), radius_um=2, threshold=0.2).n_true == 4


def test_the_dictionary_is_json_and_holds_the_promised_keys():
    figures = evaluate(two_images(), radius_um=2, threshold=0.5).as_dict()
    assert set(figures) >= PROMISED
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_the_interval_is_of_cases_not_of_images():
    pairs = [scattered(seed, case=f"patient {seed // 2}") for seed in range(12)]
    scores = evaluate(pairs, radius_um=4, threshold=0.5)
    assert scores.n_cases == 6
    assert (scores.f1_low, scores.f1_high) == bootstrap_f1(list(scores.case_counts.values()))
    assert scores.f1 == pytest.approx(pooled_f1(list(scores.case_counts.values())))


def test_two_evaluations_can_be_compared_case_by_case():
    pairs = [scattered(seed) for seed in range(8)]
    low, high = (evaluate(pairs, radius_um=4, threshold=t) for t in (0.1, 0.5))
    assert paired_difference(high, low).difference == pytest.approx(high.f1 - low.f1)


def test_a_single_case_has_no_interval():
    scores = evaluate([scattered(0)], radius_um=4, threshold=0.5)
    assert scores.f1_low is None
    assert scores.f1_high is None


def test_no_nucleus_and_no_detection_is_right_and_warns_of_nothing(recwarn):
    scores = evaluate([evaluated([], found_at([]))], radius_um=4, threshold=0.5)
    assert (scores.f1, scores.precision, scores.recall) == (1, 1, 1)
    assert scores.distance_median is None
    assert scores.image_f1_mean is None
    assert not recwarn.list


def test_a_detector_that_finds_nothing_scores_zero():
    scores = evaluate([evaluated([[5, 5]], found_at([]))], radius_um=4, threshold=0.5)
    assert (scores.f1, scores.precision, scores.recall) == (0, 0, 0)


def test_an_empty_image_rightly_left_empty_does_not_lift_the_mean_over_images():
    pairs = [*two_images(), evaluated([], found_at([]), case="three")]
    assert evaluate(pairs, radius_um=2, threshold=0.5).image_f1_mean == pytest.approx(2 / 3)


def test_class_scores_are_weighted_by_how_often_a_class_occurs():
    truth = Annotation(np.float32([[10, 10], [20, 20], [30, 30], [40, 40]]), ("a", "a", "a", "b"))
    found = found_at([[10, 10], [20, 20], [30, 30], [40, 40]], classes=["a", "a", "b", "b"])
    scores = evaluate([evaluated(truth, found)], radius_um=4, threshold=0.5)
    assert scores.f1 == 1
    assert scores.classes["a"].f1 == pytest.approx(0.8)
    assert scores.classes["b"].f1 == pytest.approx(2 / 3)
    assert scores.class_f1 == pytest.approx((3 * 0.8 + 2 / 3) / 4)
    assert scores.class_precision == pytest.approx((3 * 1 + 0.5) / 4)


def test_three_classes_with_a_confusion_a_miss_and_false_detections_by_hand():
    places = np.float32([[20 * k, 20] for k in range(1, 9)])
    truth = Annotation(places[:6], ("pos", "pos", "neg", "neg", "neg", "other"))
    # The second positive is called negative, the fifth nucleus is missed, two are no nuclei.
    where = places[[0, 1, 2, 3, 5, 6, 7]]
    found = found_at(where, classes=["pos", "neg", "neg", "neg", "other", "other", "other"])
    scores = evaluate([evaluated(truth, found)], radius_um=2, threshold=0.5)
    assert (scores.n_true, scores.n_false, scores.n_missed) == (5, 2, 1)
    by_hand = {"pos": (1, 1 / 2, 2), "neg": (2 / 3, 2 / 3, 3), "other": (1 / 3, 1, 1)}
    for name, (precision, recall, count) in by_hand.items():
        of_class = scores.classes[name]
        assert (of_class.precision, of_class.recall) == pytest.approx((precision, recall))
        assert of_class.f1 == pytest.approx(2 * precision * recall / (precision + recall))
        assert of_class.n_nuclei == count
    assert scores.class_precision == pytest.approx((2 * 1 + 3 * 2 / 3 + 1 / 3) / 6)
    assert scores.class_recall == pytest.approx((2 * 1 / 2 + 3 * 2 / 3 + 1) / 6)
    assert scores.class_f1 == pytest.approx((2 * 2 / 3 + 3 * 2 / 3 + 1 / 2) / 6)

    assert class_f1([evaluated(truth, found)], radius_um=2, threshold=0.5) == scores.class_f1


def test_the_f1_of_classes_is_0_where_none_of_them_is_found_and_none_without_classes():
    found = found_at([[10, 10]], classes=["b"])
    with_class = evaluated(Annotation(np.float32([[10, 10]]), ("a",)), found)
    without = evaluated(Annotation(np.float32([[10, 10]]), ("",)), found)
    assert class_f1([with_class], radius_um=2, threshold=0.5) == 0
    assert class_f1([without], radius_um=2, threshold=0.5) is None


def test_a_detector_without_the_annotated_classes_is_not_judged_by_class():
    truth = Annotation(np.float32([[10, 10]]), ("a",))
    scores = evaluate([evaluated(truth, found_at([[10, 10]]))], radius_um=4, threshold=0.5)
    assert (scores.class_f1, scores.classes) == (None, {})


def test_no_image_at_all_is_an_error_that_says_the_mend():
    with pytest.raises(UserError, match="There is no image to score; give at least one"):
        evaluate([], radius_um=4, threshold=0.5)
