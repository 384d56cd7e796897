from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.feature import peak_local_max

from transfer_kit.codecs.maxima import local_maxima, refine

Map = NDArray[np.float32]


def blank(height: int = 21, width: int = 31) -> Map:
    return np.zeros((height, width), np.float32)


def disc(image: Map, x: float, y: float, radius: float, value: float) -> None:
    rows, columns = np.indices(image.shape)
    image[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = value


def found(image: Map, radius_px: int = 3, floor: float = 0.0) -> list[tuple[float, float]]:
    return [tuple(p) for p in local_maxima(image, radius_px=radius_px, floor=floor).points.tolist()]


def test_a_single_pixel_is_found_where_it_stands() -> None:
    image = blank()
    image[4, 17] = 2
    assert found(image) == [(17, 4)]


def test_a_flat_disc_is_one_point_at_its_centre() -> None:
    image = blank()
    disc(image, 12, 9, 4, 1.0)
    assert found(image, radius_px=1) == [(12, 9)]


def test_a_disc_wider_than_the_window_is_one_point() -> None:
    image = blank(61, 61)
    disc(image, 30, 30, 20, 1.0)
    assert found(image, radius_px=2) == [(30, 30)]


def test_a_level_ridge_is_one_point_in_its_middle() -> None:
    image = blank()
    image[10, 5:16] = 1
    assert found(image) == [(10, 10)]


def test_two_touching_pixels_give_the_point_between_them() -> None:
    image = blank()
    image[10, 10:12] = 1
    assert found(image) == [(10.5, 10)]


def test_diagonal_neighbours_are_one_plateau() -> None:
    image = blank()
    image[[5, 6], [9, 8]] = 1
    assert found(image) == [(8.5, 5.5)]


def test_a_ring_is_one_point_and_drops_the_lower_peak_inside() -> None:
    image = blank(31, 31)
    disc(image, 15, 15, 6, 2.0)
    disc(image, 15, 15, 5, 0.0)
    image[15, 15] = 1
    assert found(image, radius_px=2) == [(15, 15)]
    assert local_maxima(image, radius_px=2).values.tolist() == [2.0]


def test_equal_peaks_beyond_the_window_both_stay() -> None:
    image = blank()
    image[10, [8, 12]] = 1
    assert found(image, radius_px=3) == [(8, 10), (12, 10)]


def test_of_equal_peaks_within_the_window_the_first_stays() -> None:
    image = blank()
    image[10, [8, 11]] = 1
    image[8, 10] = 1
    assert found(image, radius_px=3) == [(10, 8)]


def test_a_higher_peak_hides_a_lower_one_within_the_window() -> None:
    image = blank()
    image[10, 8], image[10, 11], image[10, 20] = 1, 3, 2
    assert found(image, radius_px=3) == [(11, 10), (20, 10)]


@pytest.mark.parametrize("corner", [(0, 0), (30, 0), (0, 20), (30, 20)])
def test_peaks_on_the_border_are_found(corner: tuple[int, int]) -> None:
    image = blank()
    image[corner[1], corner[0]] = 1
    assert found(image, radius_px=5) == [corner]


def test_a_plateau_on_the_border_is_one_point() -> None:
    image = blank()
    image[:3, :3] = 1
    assert found(image) == [(1, 1)]


def test_a_level_map_is_one_point_and_an_empty_one_none() -> None:
    assert found(np.ones((5, 9), np.float32)) == [(4, 2)]
    assert found(np.ones((1, 1), np.float32)) == [(0, 0)]
    assert found(blank()) == []
    assert found(-np.ones((5, 5), np.float32)) == []


def test_the_floor_itself_is_kept() -> None:
    image = blank()
    image[5, 5], image[5, 20] = 0.5, 0.25
    assert found(image, floor=0.5) == [(5, 5)]
    assert found(image, floor=0.25) == [(5, 5), (20, 5)]


def test_a_chessboard_of_equal_pixels_is_thinned_to_the_window() -> None:
    image = blank(41, 41)
    image[::2, ::2] = 1
    points = local_maxima(image, radius_px=3).points
    apart = np.abs(points[:, None] - points[None]).max(axis=2) + 99 * np.eye(len(points))
    assert len(points) == 121
    assert apart.min() == 4


@given(seed=st.integers(0, 10**6), radius_px=st.integers(1, 9), floor=st.sampled_from([0.0, 0.1]))
@settings(deadline=None, max_examples=60)
def test_continuous_maps_give_the_points_of_scikit_image(
    seed: int, radius_px: int, floor: float
) -> None:
    rng = np.random.default_rng(seed)
    image = gaussian_filter(rng.normal(size=(60, 83)), rng.uniform(0.3, 3)).astype(np.float32)
    theirs = peak_local_max(
        image, min_distance=radius_px, threshold_abs=floor, exclude_border=False
    )
    assert set(found(image, radius_px, floor)) == {(x, y) for y, x in theirs.tolist()}


@given(seed=st.integers(0, 10**6), radius_px=st.integers(1, 5), levels=st.integers(2, 40))
@settings(deadline=None, max_examples=60)
def test_stepped_maps_give_points_apart_sorted_and_on_every_hill(
    seed: int, radius_px: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.uniform(size=(40, 50)), 2)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    image = np.floor(smooth * levels).astype(np.float32)
    peaks = local_maxima(image, radius_px=radius_px)
    assert np.all(np.diff(peaks.values) <= 0)
    assert np.array_equal(image.ravel()[peaks.pixels], peaks.values)
    assert peaks.values[0] == image.max()
    pixels = np.rint(peaks.points)
    apart = np.abs(pixels[:, None] - pixels[None]).max(axis=2) + 99 * np.eye(len(pixels))
    assert apart.min() > radius_px


@given(x=st.floats(5, 15), y=st.floats(5, 15))
@settings(deadline=None, max_examples=40)
def test_refinement_is_exact_on_a_paraboloid(x: float, y: float) -> None:
    # Between two pixels the top is a plateau of both, which stays where it is.
    assume(not {x % 1, y % 1} & {0.5})
    rows, columns = np.indices((21, 21))
    image = (400 - (columns - x) ** 2 - 2 * (rows - y) ** 2).astype(np.float32)
    peak = refine(local_maxima(image, radius_px=2), image).points[0]
    assert np.allclose(peak, (x, y), atol=1e-3)


def test_refinement_leaves_plateaus_and_borders_alone() -> None:
    image = blank()
    disc(image, 12.5, 9.5, 3, 1.0)
    image[0, 0], image[0, 1] = 1.0, 0.5
    peaks = local_maxima(image, radius_px=2)
    assert {tuple(p) for p in refine(peaks, image).points.tolist()} == {(12.5, 9.5), (0, 0)}
