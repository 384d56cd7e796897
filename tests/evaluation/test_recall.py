from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from scattered_nuclei import evaluated, found_at, scattered

from transfer_kit.data.annotation import Annotation
from transfer_kit.errors import UserError
from transfer_kit.evaluation import evaluate, precision_recall_curve, recall_of_marked


def marked(points, found, **options):
    truth = replace(Annotation.of_points(np.float32(points)), positives_only=True)
    return evaluated(truth, found, **options)


def test_recall_of_hand_worked_images_and_no_more_than_recall():
    first = marked([[10, 10], [50, 50]], found_at([[12, 10], [150, 150]]), case="a")
    second = marked([[30, 30]], found_at([[31, 30], [60, 60]], [0.9, 0.2]), case="b")
    scores = recall_of_marked([first, second], radius_um=2, threshold=0.5)
    assert (scores.recall, scores.n_true, scores.n_missed) == (2 / 3, 2, 1)
    assert (scores.n_detections, scores.n_images, scores.n_cases) == (3, 2, 2)
    assert not {"precision", "f1"} & set(scores.as_dict())


def test_the_interval_is_that_of_resampled_cases():
    images = [scattered(seed, count=30) for seed in range(6)]
    images = [replace(i, truth=replace(i.truth, positives_only=True)) for i in images]
    scores = recall_of_marked(images, radius_um=2, threshold=0.3)
    each = np.array(
        [
            (one.n_true, one.n_missed)
            for one in (recall_of_marked([i], radius_um=2, threshold=0.3) for i in images)
        ]
    )
    drawn = each[np.random.default_rng(1).integers(0, 6, (4000, 6))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn.sum(axis=1), (0.025, 0.975))
    assert scores.recall_low == pytest.approx(low, abs=0.02)
    assert scores.recall_high == pytest.approx(high, abs=0.02)


def test_without_a_marked_nucleus_there_is_nothing_to_measure():
    with pytest.raises(UserError, match="No nucleus is marked in these images; mark some"):
        recall_of_marked([marked(np.zeros((0, 2)), found_at([]))], radius_um=2, threshold=0.5)


@pytest.mark.parametrize(
    "measure",
    [
        lambda image: evaluate([image], radius_um=2, threshold=0.5),
        lambda image: precision_recall_curve([image], radius_um=2),
    ],
)
def test_f1_of_images_with_some_nuclei_marked_is_refused_unless_a_region_is_labelled(measure):
    image = marked([[10, 10]], found_at([[10, 10], [90, 90]]), case="a")
    with pytest.raises(UserError, match=r"Only some nuclei of image of a are marked.*recall"):
        measure(image)
    region = (shapely.box(0, 0, 50, 50),)
    measure(replace(image, truth=replace(image.truth, labelled_regions=region)))
