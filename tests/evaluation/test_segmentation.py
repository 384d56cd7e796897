from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
from drawn_instances import annotated, scattered_discs
from scipy.stats import wilcoxon

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import UserError
from transfer_kit.evaluation import Evaluated, evaluate_segmentation, signed_rank
from transfer_kit.evaluation.overlap import Overlap
from transfer_kit.evaluation.statistics import bootstrap_mean


def nuclei_with(instances, scores=None):
    count = int(instances.max(initial=0))
    points = annotated(instances).points
    scores = np.linspace(0.9, 0.5, count) if scores is None else scores
    return Nuclei(points, np.asarray(scores, np.float32), ("",) * count, instances)


def image_of(truth, found, *, case="case", name="a", **regions):
    annotation = truth if isinstance(truth, Annotation) else annotated(truth)
    if regions:
        annotation = Annotation(
            annotation.points, annotation.classes, annotation.instances, **regions
        )
    size = found.shape if isinstance(found, np.ndarray) else found.instances.shape
    found = nuclei_with(found) if isinstance(found, np.ndarray) else found
    return Evaluated(name, case, 0.25, size, annotation, found)


def block(*columns):
    """One row of nuclei, each from one column to another."""
    instances = np.zeros((1, 40), np.int32)
    for number, (first, last) in enumerate(columns, start=1):
        instances[0, first:last] = number
    return instances


def scattered_images(count=6, cases=3):
    return [
        image_of(
            scattered_discs(k),
            scattered_discs(k + 100),
            name=f"image {k}",
            case=f"case {k % cases}",
        )
        for k in range(count)
    ]


def test_scores_of_hand_worked_images():
    first = image_of(block((0, 8), (20, 26)), block((2, 10), (20, 26)), name="a", case="one")
    second = image_of(block((0, 10)), block((0, 5), (30, 35)), name="b", case="two")
    scores = evaluate_segmentation([first, second], threshold=0)
    # a: 6 of 10 and 6 of 6; b: 5 of 10, and 5 found beside.
    assert [image.aji for image in scores.images] == pytest.approx([12 / 16, 5 / 15])
    assert scores.aji == pytest.approx((12 / 16 + 5 / 15) / 2)
    assert scores.aji_pooled == pytest.approx(17 / 31)
    assert [image.dice for image in scores.images] == pytest.approx([24 / 28, 10 / 20])
    assert scores.pixel_f1 == pytest.approx(34 / 48)
    # Two true in a by .6 and 1; in b, ½ is none.
    assert [image.pq for image in scores.images] == pytest.approx([0.8, 0])
    assert scores.pq_pooled == pytest.approx(1.6 / (2 + (2 + 1) / 2))
    assert (scores.n_images, scores.n_cases, scores.n_nuclei, scores.n_found) == (2, 2, 3, 4)


def test_detections_below_the_threshold_do_not_count():
    truth, found = scattered_discs(0), scattered_discs(50)
    scores = np.linspace(1, 0, found.max())
    ours = evaluate_segmentation([image_of(truth, nuclei_with(found, scores))], threshold=0.5)
    kept = np.where(np.append(False, scores >= 0.5)[found], found, 0).astype(np.int32)
    assert ours.aji == Overlap.of(truth, kept).aji().value
    assert ours.n_found == (scores >= 0.5).sum()


def test_outside_the_labelled_regions_nothing_counts():
    truth, found = scattered_discs(0), scattered_discs(50)
    region = shapely.box(9.5, 19.5, 59.5, 69.5)
    image = image_of(truth, found, labelled_regions=(region,))
    ours = evaluate_segmentation([image], threshold=0)
    found = found[20:70, 10:60].copy()
    for number, (x, y) in enumerate(image.found.points, 1):
        centred = 9.5 <= x <= 59.5 and 19.5 <= y <= 69.5
        if not centred and not truth[20:70, 10:60][found == number].any():
            found[found == number] = 0  # of a nucleus outside, that nobody need have annotated
    inside = Overlap.of(truth[20:70, 10:60], found)
    assert ours.aji == pytest.approx(inside.aji().value)
    assert ours.dice == pytest.approx(inside.dice().value)
    assert ours.n_nuclei == inside.n_truth


def test_outlines_stand_in_for_an_instance_map():
    box = shapely.box(1.5, -0.5, 9.5, 0.5)
    truth = Annotation([[5.5, 0]], ("",), outlines=(box,))
    assert evaluate_segmentation([image_of(truth, block((2, 10)))], threshold=0).aji == 1


def test_images_with_centres_alone_are_left_out_and_alone_give_no_scores():
    points = image_of(Annotation.of_points([[5, 0]]), block((2, 10)), name="points")
    both = evaluate_segmentation([points, image_of(block((2, 10)), block((2, 10)))], threshold=0)
    assert both.n_images == 1
    assert evaluate_segmentation([points], threshold=0) is None
    centres = Nuclei([[5, 0]], [0.9], ("",))
    image = Evaluated("a", "case", 0.25, (1, 40), annotated(block((2, 10))), centres)
    assert evaluate_segmentation([image], threshold=0) is None


def test_an_empty_image_rightly_left_empty_does_not_lift_the_means():
    empty = image_of(block(), block(), name="empty", case="other")
    scores = evaluate_segmentation([image_of(block((0, 8)), block((2, 10))), empty], threshold=0)
    assert scores.aji == pytest.approx(0.6)
    assert scores.n_images == 2
    alone = evaluate_segmentation([empty], threshold=0)
    assert (alone.aji, alone.aji_low, alone.aji_pooled, alone.pq_pooled) == (None, None, 1, 1)


def test_the_interval_is_of_cases_and_holds_the_mean():
    images = scattered_images(9)
    scores = evaluate_segmentation(images, threshold=0)
    by_case = [[i.aji for i in scores.images if i.case == f"case {k}"] for k in range(3)]
    assert (scores.aji_low, scores.aji_high) == bootstrap_mean(by_case)
    assert scores.aji_low <= scores.aji <= scores.aji_high
    alone = evaluate_segmentation(scattered_images(3, cases=1), threshold=0)
    assert (alone.aji_low, alone.pq_high) == (None, None)


def test_a_bootstrap_of_means_draws_whole_cases():
    cases = [[0.0], [1.0, 1.0, 1.0]]
    rng = np.random.default_rng(0)
    means = []
    for _ in range(20_000):
        drawn = [value for k in rng.integers(2, size=2) for value in cases[k]]
        means.append(np.mean(drawn))
    low, high = bootstrap_mean(cases, level=0.6)
    assert (low, high) == tuple(np.quantile(means, [0.2, 0.8])) == (0, 1)
    even = [[0.2, 0.4], [0.6], [0.5, 0.1], [0.9]]
    means = [
        np.mean([value for k in rng.integers(4, size=4) for value in even[k]])
        for _ in range(20_000)
    ]
    assert bootstrap_mean(even) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975])), abs=0.02
    )
    assert bootstrap_mean([[0.5, 0.7]]) == (None, None)


def test_the_dictionary_is_json_and_holds_each_image():
    figures = evaluate_segmentation(scattered_images(), threshold=0.6).as_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert [image["id"] for image in figures["images"]] == [f"image {k}" for k in range(6)]


def test_two_runs_are_compared_image_by_image():
    images = scattered_images(8)
    worse = evaluate_segmentation(images, threshold=0.75).by_image("aji")
    better = evaluate_segmentation(images, threshold=0).by_image("aji")
    outcome = signed_rank(better, dict(reversed(worse.items())))
    theirs = wilcoxon(list(better.values()), list(worse.values()))
    assert (outcome.statistic, outcome.p_value) == (theirs.statistic, theirs.pvalue)


def test_runs_on_unlike_images_are_not_compared():
    with pytest.raises(UserError, match="compared on the same images, but 'b' was scored with"):
        signed_rank({"a": 0.5}, {"a": 0.5, "b": 0.4})
