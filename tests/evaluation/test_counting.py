from __future__ import annotations

import numpy as np
import pytest
import shapely
from scattered_nuclei import found_at

from transfer_kit.data.annotation import Annotation
from transfer_kit.evaluation.counting import inside_labelled, score_image

SIZE = (100, 100)
LEFT_HALF = (shapely.box(0, 0, 50, 100),)


def labelled(points, regions=LEFT_HALF, classes=None) -> Annotation:
    points = np.reshape(np.asarray(points, np.float32), (-1, 2))
    return Annotation(points, tuple(classes or [""] * len(points)), labelled_regions=regions)


def test_true_false_and_missed_are_told_apart():
    counts = score_image(
        labelled([[10, 10], [30, 30], [20, 80]]),
        found_at([[12, 10], [40, 60], [30, 33]]),
        radius_px=4,
        size=SIZE,
    )
    assert counts.counts.tolist() == [2, 1, 1]
    assert counts.truth_index.tolist() == [0, 1]
    assert counts.found_index.tolist() == [0, 2]
    assert counts.distances_px.tolist() == [2, 3]
    assert (counts.false_index.tolist(), counts.missed_index.tolist()) == ([1], [2])


def test_nothing_outside_the_labelled_regions_counts():
    counts = score_image(
        labelled([[10, 10], [80, 80]]), found_at([[10, 10], [90, 20]]), radius_px=5, size=SIZE
    )
    assert counts.counts.tolist() == [1, 0, 0]
    assert counts.n_nuclei == 1


def test_at_the_rim_a_nucleus_detected_just_outside_is_found():
    counts = score_image(labelled([[49, 50]]), found_at([[51, 50]]), radius_px=5, size=SIZE)
    assert counts.counts.tolist() == [1, 0, 0]
    assert counts.n_nuclei == 1
    assert counts.distances_px.tolist() == [2]


def test_at_the_rim_a_detection_outside_goes_to_the_nearer_of_two_nuclei():
    # One lies inside and is missed, as the detection is nearer to the annotated one outside.
    truth = labelled([[48, 50], [53, 50]])
    counts = score_image(truth, found_at([[52, 50]]), radius_px=5, size=SIZE)
    assert counts.counts.tolist() == [0, 0, 1]


def test_at_the_rim_a_detection_may_be_of_a_nucleus_that_nobody_annotated():
    # The rim is at x = 50: within 5 px of it a lone detection is not false, beyond it is.
    counts = score_image(
        labelled([[20, 20]]), found_at([[45.5, 50], [44.5, 80]]), radius_px=5, size=SIZE
    )
    assert counts.counts.tolist() == [0, 1, 1]
    assert counts.false_index.tolist() == [1]


def test_the_edge_of_the_image_and_seams_of_regions_are_no_rim():
    halves = (shapely.box(-1, -1, 50, 100), shapely.box(49, -1, 100, 100))
    found = found_at([[1, 50], [50, 50], [98.5, 98.5]])
    counts = score_image(labelled([], regions=halves), found, radius_px=5, size=SIZE)
    assert counts.counts.tolist() == [0, 3, 0]


def test_at_the_rim_a_detection_of_a_nucleus_just_outside_is_neither_true_nor_false():
    counts = score_image(labelled([[51, 50]]), found_at([[49, 50]]), radius_px=5, size=SIZE)
    assert counts.counts.tolist() == [0, 0, 0]


def test_at_the_rim_what_lies_outside_never_takes_a_true_pair_away():
    # Each is nearer to the point across the rim, yet the two inside belong together.
    counts = score_image(
        labelled([[49, 50], [50.5, 54]]), found_at([[51, 50], [49, 54]]), radius_px=5, size=SIZE
    )
    assert counts.counts.tolist() == [1, 0, 0]
    assert (counts.truth_index.tolist(), counts.found_index.tolist()) == ([0], [1])


def test_one_detection_outside_finds_one_nucleus_only():
    counts = score_image(
        labelled([[48, 50], [48, 52]]), found_at([[51, 51]]), radius_px=5, size=SIZE
    )
    assert counts.counts.tolist() == [1, 0, 1]


def test_points_beyond_the_image_count_for_nothing():
    truth = labelled([[-1, 50], [99.4, 50]], regions=())
    counts = score_image(truth, found_at([[99, 50], [100, 80]]), radius_px=3, size=SIZE)
    assert counts.counts.tolist() == [1, 0, 0]


def test_rims_are_inside_and_holes_are_outside():
    ring = shapely.Polygon(
        shapely.box(10, 10, 60, 60).exterior, [shapely.box(20, 20, 30, 30).exterior]
    )
    truth = Annotation.of_points(np.zeros((0, 2), np.float32))
    truth = Annotation(truth.points, (), labelled_regions=(ring, shapely.box(80, 80, 90, 90)))
    points = np.float32([[10, 10], [25, 25], [85, 85], [70, 70], [40, 60]])
    assert inside_labelled(points, truth, SIZE).tolist() == [True, False, True, False, True]


def test_a_pair_counts_for_a_class_only_where_both_agree():
    truth = labelled([[10, 10], [20, 20], [30, 30], [40, 40]], classes=["a", "a", "b", ""])
    found = found_at([[10, 10], [20, 20], [40, 40], [5, 90]], classes=["a", "b", "b", "b"])
    by_class = score_image(truth, found, radius_px=3, size=SIZE).by_class
    assert {name: counts.tolist() for name, counts in by_class.items()} == {
        "a": [1, 0, 1],  # the second is a nucleus of a called b
        "b": [0, 2, 1],  # the pair without an annotated class counts for nothing
    }


def test_without_annotated_classes_there_is_no_comparison_by_class():
    found = found_at([[10, 10]], classes=["a"])
    assert score_image(labelled([[10, 10]]), found, radius_px=3, size=SIZE).by_class == {}


@pytest.mark.parametrize("empty_truth", [True, False])
def test_nothing_known_or_nothing_found_is_counted_without_warning(empty_truth, recwarn):
    points = [] if empty_truth else [[5, 5]]
    counts = score_image(labelled(points), found_at([]), radius_px=3, size=SIZE)
    assert counts.counts.tolist() == [0, 0, len(points)]
    assert not recwarn.list
