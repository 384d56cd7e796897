from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation import Evaluated, evaluate
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.viewer.judging import FALSE, MISSED, NOT_JUDGED, TRUE, judge

SIZE = (400, 500)
CLASSES = ("tumour", "stroma")


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(3)
    truth = rng.uniform((0, 0), SIZE[::-1], (120, 2)).astype(np.float32)
    near = truth[:90] + rng.normal(0, 4, (90, 2)).astype(np.float32)
    points = np.concatenate([near, rng.uniform((0, 0), SIZE[::-1], (40, 2))]).astype(np.float32)
    kinds = rng.integers(0, 2, len(points)).astype(np.uint16)
    found = FoundNuclei(points, rng.random(len(points)).astype(np.float32), kinds, CLASSES)
    regions = (shapely.box(20, 30, 300, 350), shapely.Polygon([(320, 10), (490, 10), (400, 380)]))
    return Annotation(truth, ("tumour",) * 120, labelled_regions=regions), found


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.72])
@pytest.mark.parametrize("regions", [True, False])
def test_the_figures_are_those_of_evaluate(scene, threshold, regions):
    truth, found = scene
    if not regions:
        truth = replace(truth, labelled_regions=())
    judged = judge(found, truth, threshold=threshold, radius_px=8, size=SIZE)
    nuclei = Nuclei(found.points, found.scores, tuple(CLASSES[kind] for kind in found.kinds))
    image = Evaluated("a", "a", 0.25, SIZE, truth, nuclei)
    scores = evaluate([image], radius_um=2, threshold=threshold)
    assert (judged.n_true, judged.n_false, judged.n_missed) == (
        scores.n_true,
        scores.n_false,
        scores.n_missed,
    )
    assert (judged.precision, judged.recall, judged.f1) == pytest.approx(
        (scores.precision, scores.recall, scores.f1)
    )
    assert judged.n_nuclei == scores.n_nuclei


def test_each_detection_and_nucleus_has_the_state_that_is_counted(scene):
    truth, found = scene
    judged = judge(found, truth, threshold=0.3, radius_px=8, size=SIZE)
    assert np.count_nonzero(judged.found == TRUE) == judged.n_true
    assert np.count_nonzero(judged.found == FALSE) == judged.n_false
    assert np.count_nonzero(judged.truth == MISSED) == judged.n_missed
    assert (judged.found[found.scores < 0.3] == NOT_JUDGED).all()


def test_a_drawn_example():
    truth = Annotation.of_points([[10, 10], [50, 50]])
    found = FoundNuclei(
        np.array([[12, 10], [80, 80], [51, 50]], np.float32),
        np.array([0.9, 0.8, 0.1], np.float32),
        np.zeros(3, np.uint16),
        ("",),
    )
    judged = judge(found, truth, threshold=0.5, radius_px=3, size=(100, 100))
    assert judged.found.tolist() == [TRUE, FALSE, NOT_JUDGED]
    assert judged.truth.tolist() == [TRUE, MISSED]
    assert (judged.precision, judged.recall, judged.f1) == (0.5, 0.5, 0.5)


def test_where_only_some_nuclei_are_marked_nothing_is_called_false():
    truth = Annotation(np.array([[10, 10]], np.float32), ("",), positives_only=True)
    found = FoundNuclei(
        np.array([[10, 10], [80, 80]], np.float32),
        np.ones(2, np.float32),
        np.zeros(2, np.uint16),
        ("",),
    )
    judged = judge(found, truth, threshold=0, radius_px=3, size=(100, 100))
    assert judged.found.tolist() == [TRUE, NOT_JUDGED]
    assert (judged.n_false, judged.precision, judged.f1, judged.recall) == (None, None, None, 1.0)
