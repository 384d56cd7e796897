"""The fullest circle: against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import shapely
from inference.outputs.found_nuclei import facts

from transfer_kit.inference.outputs import hottest
from transfer_kit.inference.outputs.hottest import hottest_field

SLIDE = facts((40_000, 40_000), mpp=0.25)
RADIUS_PX = 1000 * np.sqrt(2 / np.pi) / 0.25


def most_in_a_circle(points, radius):
    """A fullest circle has two of its points on its rim, or one point alone."""
    best = 1
    for one, other in combinations(points, 2):
        middle, half = (one + other) / 2, (other - one) / 2
        reach = np.hypot(*half)
        if reach > radius:
            continue
        across = np.array([-half[1], half[0]]) * (np.sqrt(radius**2 - reach**2) / max(reach, 1e-12))
        for centre in (middle + across, middle - across):
            inside = np.hypot(*(points - centre).T) <= radius * (1 + 1e-9)
            best = max(best, int(inside.sum()))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_the_count_is_that_of_all_circles_tried(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 16_000, (25, 2)).astype(np.float32)
    field = hottest_field(points, SLIDE)
    assert field.count == most_in_a_circle(points.astype(float), RADIUS_PX)
    inside = np.hypot(*(points - (field.x, field.y)).T) <= RADIUS_PX * (1 + 1e-6)
    assert inside.sum() == field.count
    assert field.search == "exact"


def test_mitoses_of_a_cluster_are_found_with_its_place():
    """Five mitoses within a mm, two far away: the circle lies about the five."""
    cluster = [
        [10_000, 10_000],
        [12_000, 10_000],
        [11_000, 11_000],
        [11_000, 9_000],
        [11_000, 10_000],
    ]
    points = np.array([[0, 0], [30_000, 0], *cluster], np.float32)
    field = hottest_field(points, SLIDE)
    assert field.count == 5
    assert (field.x, field.y) == pytest.approx((11_000, 10_000), abs=1)
    assert field.area_mm2 == 2
    assert np.pi * (field.radius_um / 1000) ** 2 == pytest.approx(2)
    assert field.searched_mm2 == pytest.approx(2, rel=0.001)


def test_two_mitoses_a_diameter_apart_are_in_one_field_and_farther_ones_are_not():
    width = 2 * RADIUS_PX
    assert hottest_field(np.array([[0, 0], [width - 0.01, 0]], np.float32), SLIDE).count == 2
    assert hottest_field(np.array([[0, 0], [width + 0.01, 0]], np.float32), SLIDE).count == 1


def test_mitoses_at_one_place_count_each():
    field = hottest_field(np.full((3, 2), 500, np.float32), SLIDE)
    assert (field.count, field.x, field.y) == (3, 500, 500)


def test_what_of_the_field_was_searched_is_told():
    half = facts(
        (40_000, 40_000), searched=shapely.MultiPolygon([shapely.box(0, 0, 20_000, 40_000)])
    )
    field = hottest_field(np.array([[20_000, 20_000]], np.float32), half)
    assert field.searched_mm2 == pytest.approx(1, rel=0.001)


def test_no_mitosis_has_no_field():
    assert hottest_field(np.zeros((0, 2), np.float32), SLIDE) is None


def test_many_nuclei_are_searched_on_a_grid_that_comes_close(monkeypatch):
    points = np.random.default_rng(0).normal(20_000, 6_000, (600, 2)).astype(np.float32)
    exact = hottest_field(points, SLIDE)
    monkeypatch.setattr(hottest, "EXACT_UP_TO", 100)
    tried = hottest_field(points, SLIDE)
    assert "grid of 25 µm" in tried.search
    assert 0.95 * exact.count <= tried.count <= exact.count
