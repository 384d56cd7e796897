"""Fields and intervals: worked by hand, and simulated."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from transfer_kit.inference.found import FoundNuclei
from transfer_kit.inference.outputs.fields import (
    Fields,
    fields_of,
    percentiles,
    poisson_interval,
    resampled,
    side_for,
)


def found_at(points, kinds=None, classes=("a",)):
    points = np.asarray(points, np.float32).reshape(-1, 2)
    kinds = np.zeros(len(points)) if kinds is None else kinds
    return FoundNuclei(
        points, np.ones(len(points), np.float32), np.asarray(kinds, np.uint16), classes
    )


def test_an_area_is_cut_into_squares_and_the_rest():
    """1.25 x 0.5 mm at 0.5 µm/px, in fields of 500 µm: two whole ones and half a one."""
    area = shapely.box(1_000, 2_000, 3_500, 3_000)
    found = found_at([[1_001, 2_001], [1_999, 2_999], [2_001, 2_500], [3_400, 2_500]], [0, 1, 1, 0])
    fields = fields_of(
        FoundNuclei(found.points, found.scores, found.kinds, ("a", "b")), area, 0.5, field_um=500
    )
    np.testing.assert_allclose(fields.areas_mm2, [0.25, 0.25, 0.125])
    assert fields.counts.tolist() == [[1, 1], [0, 1], [1, 0]]


def test_the_areas_of_ragged_fields_add_up():
    disc = (
        shapely.Point(5_000, 4_000)
        .buffer(3_000)
        .difference(shapely.box(4_000, 3_000, 5_000, 4_500))
    )
    fields = fields_of(found_at([]), disc, 0.25, field_um=250)
    assert fields.areas_mm2.sum() == pytest.approx(disc.area * 0.25**2 / 1e6)
    assert (fields.areas_mm2 > 0).all()
    assert len(fields) == sum(
        disc.intersection(shapely.box(x, y, x + 1_000, y + 1_000)).area > 0
        for x in range(2_000, 8_000, 1_000)
        for y in range(1_000, 7_000, 1_000)
    )


def test_every_nucleus_of_the_area_is_in_a_field():
    rng = np.random.default_rng(0)
    area = shapely.Point(500, 500).buffer(400)
    points = rng.uniform(0, 1_000, (500, 2))
    inside = points[shapely.contains_xy(area, *points.T)]
    fields = fields_of(found_at(inside), area, 1.0, field_um=100)
    assert fields.counts.sum() == len(inside)


def test_no_area_has_no_fields():
    assert len(fields_of(found_at([]), shapely.MultiPolygon(), 0.25, field_um=250)) == 0


def test_two_fields_are_drawn_as_the_binomial_has_it():
    """Of fields with 0 and 10 nuclei, two draws give 0, 10 or 20 with 1/4, 1/2, 1/4."""
    fields = Fields(np.ones(2), np.array([[0.0], [10.0]]))
    areas, counts = resampled(fields, resamples=4_000)
    assert (areas == 2).all()
    shares = [np.mean(counts == total) for total in (0, 10, 20)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.03)
    assert percentiles(counts[:, 0] / areas) == (0, 10)


def test_the_same_seed_draws_the_same():
    fields = Fields(np.ones(9), np.arange(9.0)[:, None])
    first, again, other = (resampled(fields, seed=seed)[1] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)]
)
def test_poisson_intervals_are_those_of_garwoods_table(count, low, high):
    assert poisson_interval(count) == pytest.approx((low, high), abs=6e-3)


@pytest.mark.parametrize(("area", "side"), [(0.0, 250), (24.9, 250), (25.0, 500), (400, 500)])
def test_fields_are_wide_where_there_are_a_hundred(area, side):
    assert side_for(area) == side


def clustered(rng, side_um, spread_um):
    """Clusters of 20 nuclei on average, 20 of them a mm²; a Thomas process."""
    wide = side_um + 400
    parents = rng.uniform(-200, side_um + 200, (rng.poisson(20 * (wide / 1000) ** 2), 2))
    children = np.repeat(parents, rng.poisson(20, len(parents)), axis=0)
    points = children + rng.normal(0, spread_um, children.shape)
    return points[((points > 0) & (points < side_um)).all(axis=1)]


def covered(side_mm, spread_um, rounds, field_um):
    """How often of 100 the interval over fields, and that of Poisson, hold the true density."""
    area, hits = shapely.box(0, 0, side_mm * 1000, side_mm * 1000), np.zeros(2)
    for seed in range(rounds):
        points = clustered(np.random.default_rng(seed), side_mm * 1000, spread_um)
        fields = fields_of(found_at(points), area, 1.0, field_um=field_um)
        areas, counts = resampled(fields, seed=seed, resamples=400)
        ours = percentiles(counts[:, 0] / areas)
        plain = np.array(poisson_interval(len(points))) / side_mm**2
        hits += [low <= 400 <= high for low, high in (ours, plain)]
    return (100 * hits / rounds).tolist()


def test_where_nuclei_cluster_the_interval_over_fields_holds_and_poissons_does_not():
    ours, poisson = covered(2, 30, 40, 250)
    assert ours > 80
    assert poisson < 60


@pytest.mark.slow
def test_intervals_hold_the_true_density_as_often_as_the_docs_say():
    cases = {"narrow": (5, 30, 500), "wide": (5, 100, 500), "few": (2, 100, 250)}
    found = {name: covered(mm, um, 200, side) for name, (mm, um, side) in cases.items()}
    print(found)
    assert found["narrow"][0] > 85
    assert found["wide"][0] > 82
    assert found["few"][0] > 68
    assert max(poisson for _, poisson in found.values()) < 50
