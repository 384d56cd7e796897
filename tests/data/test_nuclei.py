"""Detected nuclei: choosing among them and resizing keep points and instances together."""

from __future__ import annotations

import numpy as np
import pytest

from transfer_kit.data.nuclei import Nuclei


@pytest.fixture
def nuclei() -> Nuclei:
    instances = np.zeros((12, 9), np.int32)
    instances[1:4, 1:4], instances[6:8, 2:8], instances[10, 4] = 1, 2, 3
    points = np.array([[2, 2], [4.5, 6.5], [4, 10]], np.float32)
    return Nuclei(points, np.array([0.9, 0.5, 0.7], np.float32), ("a", "b", "a"), instances)


def test_chosen_nuclei_keep_their_own_pixels_under_their_new_numbers(nuclei: Nuclei) -> None:
    chosen = nuclei.above(0.6)
    assert chosen.instances is not None
    assert nuclei.instances is not None
    assert set(np.unique(chosen.instances)) == {0, 1, 2}
    for k, (x, y) in enumerate(chosen.points, start=1):
        assert chosen.instances[round(y), round(x)] == k
    assert not chosen.instances[nuclei.instances == 2].any()


def test_reordered_nuclei_keep_their_own_pixels(nuclei: Nuclei) -> None:
    reversed_ = nuclei.take(np.array([2, 1, 0]))
    assert reversed_.instances is not None
    assert nuclei.instances is not None
    assert np.array_equal(reversed_.instances == 1, nuclei.instances == 3)
    assert np.array_equal(reversed_.instances == 3, nuclei.instances == 1)


def test_points_stay_on_their_instances_when_an_image_is_resized(nuclei: Nuclei) -> None:
    doubled = nuclei.scaled(2, (24, 18))
    assert doubled.instances is not None
    assert nuclei.instances is not None
    assert np.array_equal(doubled.instances, nuclei.instances.repeat(2, 0).repeat(2, 1))
    rows, columns = np.nonzero(doubled.instances == 1)
    assert doubled.points[0] == pytest.approx((columns.mean(), rows.mean()))
    back = doubled.scaled(0.5, (12, 9))
    assert np.allclose(back.points, nuclei.points)
    assert np.array_equal(back.instances, nuclei.instances)


def test_centres_alone_have_no_instances_whatever_is_done_with_them() -> None:
    points = Nuclei(np.array([[1, 2]], np.float32), np.ones(1, np.float32), ("",))
    assert points.above(0.5).instances is None
    assert points.scaled(2, (8, 8)).instances is None
