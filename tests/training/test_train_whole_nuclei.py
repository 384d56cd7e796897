from __future__ import annotations

import cv2
import numpy as np
import pytest
from toy import ToySample, toy_detector, toy_recipe

from transfer_kit.codecs import build_codec
from transfer_kit.data.annotation import Annotation
from transfer_kit.errors import UserError
from transfer_kit.evaluation import calibrate, evaluate_segmentation, examine
from transfer_kit.training.train import train

CODEC = {"name": "distance", "options": {"unit_um": 0.5}}


class Outlined(ToySample):
    """The same with an instance map."""

    def annotation(self):
        instances = np.zeros(self.size, np.int32)
        for k, (x, y) in enumerate(self._points, start=1):
            cv2.circle(instances, (round(x), round(y)), 4, k, -1)
        return Annotation(self._points, ("",) * len(self._points), instances=instances)


def trained(folder, samples, **fields):
    recipe = toy_recipe(**{"train.steps": 30, "train.validate_every": 10, **fields})
    detector = toy_detector(codec=CODEC)
    return train(detector, samples[:3], samples[3:], recipe, folder=folder)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    samples = [Outlined(number) for number in range(4)]
    return samples, trained(tmp_path_factory.mktemp("run"), samples)


def test_a_distance_map_is_learned_and_judged_by_aji(done):
    _, outcome = done
    losses = [point["train/loss"] for point in outcome.curve]
    assert losses[-1] < losses[0]
    best = max(outcome.curve, key=lambda point: point["val/aji"])
    assert outcome.best_step == best["step"]
    assert all(0 <= point["val/f1"] <= 1 for point in outcome.curve)


def test_p1_p2_and_the_threshold_are_chosen_by_aji_and_the_card_says_so(done):
    samples, outcome = done
    detector = outcome.detector
    options = detector.card.codec.options
    assert build_codec("distance", **options) == detector.codec
    assert detector.card.threshold_chosen_on == "1 validation image of toy, by AJI"
    aji = evaluate_segmentation(
        examine(detector, samples[3:]), threshold=detector.card.threshold
    ).aji
    assert aji == calibrate(detector, samples[3:], radius_um=2.0).aji
    assert aji >= max(point["val/aji"] for point in outcome.curve)


def test_centres_alone_are_refused_before_the_first_step(tmp_path):
    samples = [ToySample(number) for number in range(4)]
    with pytest.raises(UserError, match=r"'distance' learns whole nuclei, but some are annotated"):
        trained(tmp_path, samples)
