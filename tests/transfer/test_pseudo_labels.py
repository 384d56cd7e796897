from __future__ import annotations

import numpy as np
import pytest

from transfer_kit.codecs import build_codec
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.transfer.pseudo_labels import (
    inside_margin,
    judges_by_the_whole_image,
    pseudo_labels,
    sureness_of,
)

SIZE = (30, 40)


def found(points, scores, instances=None, classes=None):
    return Nuclei(
        np.array(points, np.float32),
        np.array(scores, np.float32),
        classes or ("",) * len(points),
        instances,
    )


def labelled(candidates, *, threshold=0.4, confidence=0.5, radius_px=6.0):
    return pseudo_labels(
        candidates, SIZE, threshold=threshold, confidence=confidence, radius_px=radius_px
    )


@pytest.mark.parametrize(
    ("score", "sureness"),
    [(0.4, 0.0), (0.45, 0.25), (0.3, 0.5), (0.6, 1.0), (0.2, 1.0), (0.0, 1.0), (1.3, 1.0)],
)
def test_sureness_is_the_distance_from_the_threshold_in_parts_of_it(score, sureness):
    """Threshold .4 and confidence .5: sure from .2 below and .6 above on."""
    scores = np.array([score], np.float32)
    assert sureness_of(scores, threshold=0.4, confidence=0.5) == pytest.approx([sureness], abs=1e-6)


def test_a_threshold_of_nothing_makes_all_candidates_sure():
    scores = np.array([0.1, 2.0], np.float32)
    assert sureness_of(scores, threshold=0.0, confidence=0.5).tolist() == [1.0, 1.0]


def test_each_pixel_has_the_sureness_of_the_nearest_candidate_in_reach():
    points = [(5.0, 5.0), (9.5, 7.0), (30.0, 20.0), (-3.0, 25.0)]
    scores = [0.45, 0.3, 0.4, 0.5]
    sureness = [0.25, 0.5, 0.0, 0.5]
    weight = labelled(found(points, scores)).weight
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            distances = [np.hypot(x - px, y - py) for px, py in points]
            nearest = int(np.argmin(distances))
            expected = sureness[nearest] if distances[nearest] < 6 else 1.0
            assert weight[y, x] == pytest.approx(expected, abs=1e-6), (x, y)


def test_nuclei_are_those_at_or_above_the_threshold_with_their_classes():
    candidates = found([(1, 2), (3, 4), (5, 6)], [0.9, 0.4, 0.39], classes=("a", "b", "c"))
    annotation = labelled(candidates).annotation
    assert annotation.points.tolist() == [[1, 2], [3, 4]]
    assert annotation.classes == ("a", "b")


def test_without_any_candidate_all_is_background_for_sure():
    labels = labelled(found(np.zeros((0, 2)), []))
    assert (labels.weight == 1).all()
    assert len(labels.annotation) == 0


def test_the_pixels_of_a_nucleus_beyond_the_reach_share_its_sureness_and_its_number_stays_right():
    instances = np.zeros(SIZE, np.int32)
    instances[2:4, 2:38] = 1  # long, and unsure
    instances[20:24, 10:14] = 2
    candidates = found([(20, 2.5), (11.5, 21.5)], [0.3, 0.9], instances)
    labels = labelled(candidates, radius_px=3.0)
    assert labels.weight[2:4, 2:38] == pytest.approx(0.5)
    assert (labels.weight[20:24, 10:14] == 1).all()
    # The unsure one is no nucleus, so the other is the first now.
    assert set(np.unique(labels.annotation.instances)) == {0, 1}
    assert (labels.annotation.instances[20:24, 10:14] == 1).all()


def test_the_middle_of_an_image_keeps_the_nuclei_of_its_margin():
    instances = np.zeros((20, 20), np.int32)
    instances[0:6, 0:6] = 1
    moved = inside_margin(found([(2, 3), (10, 12)], [0.5, 0.9], instances), 4)
    assert moved.points.tolist() == [[-2, -1], [6, 8]]
    assert moved.instances.shape == (12, 12)
    assert (moved.instances > 0).sum() == 4
    assert inside_margin(moved, 0).instances.shape == (12, 12)


def test_scores_relative_to_the_image_s_best_are_known():
    assert judges_by_the_whole_image(build_codec("proximity", relative_to="maximum"))
    assert judges_by_the_whole_image(build_codec("voting", relative_to="maximum"))
    assert not judges_by_the_whole_image(build_codec("proximity"))
    assert not judges_by_the_whole_image(build_codec("voting"))
    assert not judges_by_the_whole_image(build_codec("distance"))
