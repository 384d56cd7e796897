"""The parts of a drawing: noise, seats, outlines, dyes, pigment, scanner."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import cdist

from transfer_kit.data.synthetic.noise import band, oriented, smooth
from transfer_kit.data.synthetic.nuclei import NucleusPainter, Seat, Shape
from transfer_kit.data.synthetic.organ import Spread
from transfer_kit.data.synthetic.organs import BREAST, EYE
from transfer_kit.data.synthetic.pigment import melanin
from transfer_kit.data.synthetic.scanner import Scanner, scanned
from transfer_kit.data.synthetic.seeds import generator
from transfer_kit.data.synthetic.stain import Stain, stained
from transfer_kit.data.synthetic.tissue import apart, pixels, scatter, voronoi

ELLIPSE = Shape(x=40.3, y=37.8, angle=0.6, a=22.0, b=11.0, bend=0.0, wobble=np.zeros(4, complex))


@pytest.mark.parametrize("scale", [2.0, 9.0, 60.0, 300.0])
def test_smooth_noise_has_unit_variance_and_blobs_of_its_scale(scale):
    field = smooth(generator("noise"), 256, scale)
    assert field.shape == (256, 256)
    assert field.mean() == pytest.approx(0, abs=1e-9)
    assert field.std() == pytest.approx(1)
    if scale > 4:
        assert np.abs(np.diff(field)).mean() < 4 / scale


def test_band_noise_lacks_slow_changes():
    field = band(generator("band"), 256, 1.0, 3.0)
    blocks = field.reshape(8, 32, 8, 32).mean(axis=(1, 3))
    assert field.std() == pytest.approx(1)
    assert blocks.std() < 0.05


def test_streaks_change_slowly_along_their_direction():
    angle = np.full((256, 256), np.pi / 2)  # downwards
    field = oriented(generator("streaks"), angle, width_px=4, length_px=60, wave_px=0.5)
    down = np.mean(field[6:] * field[:-6])
    sideways = np.mean(field[:, 6:] * field[:, :-6])
    assert down > 0.6
    assert sideways < 0.3


def test_streams_depend_on_all_their_names():
    first = generator("breast", 1, 0, "stain").random(4)
    np.testing.assert_array_equal(first, generator("breast", 1, 0, "stain").random(4))
    for names in [("breast", 1, 0, "ground"), ("breast", 10, "stain"), ("eye", 1, 0, "stain")]:
        assert not np.array_equal(first, generator(*names).random(4))


def test_spread_is_cut_off_at_two_standard_deviations():
    values = Spread(10.0, 2.0).draw(np.random.default_rng(0), 5000)
    assert values.min() >= 6.0
    assert values.max() <= 14.0
    assert values.mean() == pytest.approx(10, abs=0.1)


def test_the_nearest_cell_and_its_border_agree_with_brute_force():
    centres = np.random.default_rng(1).uniform(-10, 110, (30, 2))
    xs, ys = pixels(100)
    nearest, border = voronoi(centres, xs, ys)
    distances = cdist(np.stack([xs.ravel(), ys.ravel()], 1), centres).reshape(100, 100, 30)
    ordered = np.sort(distances, axis=-1)
    expected = (ordered[..., 1] - ordered[..., 0]) / 2
    np.testing.assert_array_equal(nearest[::2, ::2], distances.argmin(-1)[::2, ::2])
    np.testing.assert_allclose(border[::2, ::2], expected[::2, ::2], atol=1e-9)
    np.testing.assert_allclose(border[:99, :99], expected[:99, :99], atol=1.0)


def test_places_are_kept_from_the_first_on_unless_too_near_to_a_kept_one():
    places = np.random.default_rng(2).uniform(0, 50, (300, 2))
    kept: list[int] = []
    for i, place in enumerate(places):
        if all(np.hypot(*(place - places[k])) > 4.0 for k in kept):
            kept.append(i)
    np.testing.assert_array_equal(apart(places, 4.0), kept)


def test_seats_lie_where_the_weight_is_and_keep_their_distance():
    weight = np.zeros((200, 200))
    weight[:, 100:] = 1.0
    seats = scatter(np.random.default_rng(3), weight, per_mm2=9000, population="a", spacing_um=4.0)
    places = np.array([[s.x, s.y] for s in seats])
    assert len(seats) > 5
    assert places[:, 0].min() >= 99.5
    between = cdist(places, places) + 1e9 * np.eye(len(places))
    assert between.min() > 16.0
    assert (
        scatter(np.random.default_rng(3), 0 * weight, per_mm2=9, population="a", spacing_um=1) == []
    )


def test_depth_is_the_distance_to_the_outline_near_it():
    xs, ys = pixels(80)
    depth = ELLIPSE.depth(xs, ys)
    inside = depth > 0
    assert inside.sum() == pytest.approx(np.pi * 22 * 11, rel=0.01)
    exact = distance_transform_edt(inside) - 0.5
    rim = (depth > 0) & (depth < 4)
    assert np.abs(depth - exact)[rim].mean() < 0.5


def test_a_seat_outside_the_image_or_on_a_taken_place_stays_empty():
    painter = NucleusPainter(160, BREAST.populations, scale=1.0, rng=np.random.default_rng(4))
    painter.settle([Seat(80, 80, 0.0, "epithelial"), Seat(82, 81, 1.0, "epithelial")])
    painter.settle([Seat(-30, 50, 0.0, "epithelial"), Seat(500, 50, 0.0, "epithelial")])
    assert painter.canvas.instances.max() == 1
    assert len(painter.shapes) == 1


def test_nuclei_hide_only_little_of_one_another():
    rng = np.random.default_rng(5)
    seats = [Seat(*rng.uniform(20, 180, 2), rng.uniform(0, 3), "epithelial") for _ in range(400)]
    painter = NucleusPainter(200, BREAST.populations, scale=1.0, rng=rng, overlap=0.16)
    painter.settle(seats)
    xs, ys = pixels(200)
    areas = np.bincount(painter.canvas.instances.ravel())[1:]
    full = np.array([(shape.depth(xs, ys) > 0).sum() for shape in painter.shapes])
    assert len(areas) == len(full) > 10
    assert (areas >= 0.84 * full - 1).all()
    assert (areas < full).any()


def test_one_dye_obeys_beer_and_lambert():
    stain = Stain(hue_jitter=0.0, strength_jitter=0.0)
    light = stained({"eosin": np.full((4, 4), 0.7)}, stain, np.random.default_rng(6))
    vector = np.array(stain.eosin) / np.linalg.norm(stain.eosin)
    np.testing.assert_allclose(-np.log10(light[2, 2]), 0.7 * vector, atol=1e-12)


def test_each_case_is_stained_a_little_differently():
    field = {"haematoxylin": np.full((2, 2), 0.8)}
    lights = [stained(field, Stain(), np.random.default_rng(i))[0, 0] for i in range(30)]
    spread = np.std(lights, axis=0)
    assert (spread > 0.01).all()
    assert (spread < 0.15).all()


def test_melanin_is_brown_and_lies_beside_nuclei():
    red, green, blue = Stain().melanin
    assert red < green < blue
    rng = np.random.default_rng(7)
    painter = NucleusPainter(400, EYE.populations, scale=1.0, rng=rng)
    painter.settle([Seat(*rng.uniform(0, 400, 2), 0.5, "spindle") for _ in range(120)])
    tone = smooth(rng, 400, 60)
    void = np.zeros((400, 400))
    void[:, :50] = 1.0
    pigment = melanin(painter.canvas, tone, void=void, load=1.0, rng=rng)
    nuclei = painter.canvas.instances > 0
    assert pigment[~nuclei].sum() > 0.85 * pigment.sum() > 0
    assert pigment[nuclei].mean() < 0.3 * pigment[~nuclei].mean()
    assert pigment[:, :40].max() < 0.05
    assert not melanin(painter.canvas, tone, void=void, load=0.0, rng=rng).any()


def test_empty_glass_is_scanned_near_white_with_a_little_noise():
    image = scanned(np.ones((128, 128, 3)), Scanner(), np.random.default_rng(8))
    assert image.dtype == np.uint8
    assert 225 < image.mean() < 255
    assert 0 < image.std(axis=(0, 1)).max() < 5
