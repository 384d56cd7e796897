from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_kit.codecs.accumulation import Votes, disk_steps, disk_values, visible_disks


@given(seed=st.integers(0, 10**6), spread=st.floats(0, 30))
@settings(deadline=None, max_examples=30)
def test_accumulation_equals_a_plain_loop(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, spread, (2, 17, 23)).astype(np.float32)
    strength = rng.random((17, 23)).astype(np.float32)
    expected = np.zeros((17, 23))
    for y in range(17):
        for x in range(23):
            to_x, to_y = round(x + float(vectors[0, y, x])), round(y + float(vectors[1, y, x]))
            if 0 <= to_x < 23 and 0 <= to_y < 17:
                expected[to_y, to_x] += strength[y, x]
    assert np.allclose(Votes.of_vectors(vectors).accumulate(strength), expected, atol=1e-5)


@given(seed=st.integers(0, 10**6), radius=st.floats(0, 4))
@settings(deadline=None, max_examples=10)
def test_the_mean_end_equals_a_plain_loop(seed: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, 3, (2, 15, 19)).astype(np.float32)
    strength = rng.random((15, 19)).astype(np.float32)
    votes = Votes.of_vectors(vectors)
    accumulated = votes.accumulate(strength)
    rows, columns = np.nonzero(accumulated)
    centres = np.stack([columns, rows], axis=1)
    ends = (vectors + np.indices((15, 19))[::-1]).reshape(2, -1).T
    pixels = np.rint(ends)
    inside = ((pixels >= 0) & (pixels < (19, 15))).all(axis=1)
    means = votes.mean_ends(strength, accumulated, centres, radius)
    for centre, mean in zip(centres, means, strict=True):
        near = inside & (np.linalg.norm(pixels - centre, axis=1) <= radius)
        expected = np.average(ends[near], axis=0, weights=strength.ravel()[near])
        assert np.allclose(mean, expected, atol=1e-3)


def test_a_disk_of_two_pixels_has_thirteen() -> None:
    steps = {tuple(step) for step in disk_steps(2.0).tolist()}
    assert len(steps) == 13
    assert steps >= {(2, 0), (-1, 1), (0, -2)}
    assert (2, 1) not in steps
    assert disk_steps(0.7).tolist() == [[0, 0]]


def test_values_around_a_centre_are_zero_outside_the_image() -> None:
    image = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    centres = np.array([[0, 0], [3, 2], [1, 1]])
    sums = disk_values(image, centres, disk_steps(1.0)).sum(axis=1)
    assert sums.tolist() == [1 + 2 + 5, 12 + 11 + 8, 6 + 2 + 5 + 7 + 10]


@given(radius=st.floats(0.1, 15), x=st.integers(0, 21), y=st.integers(0, 12))
@settings(deadline=None, max_examples=80)
def test_a_disk_is_counted_as_far_as_the_image_shows_it(radius: float, x: int, y: int) -> None:
    rows, columns = np.indices((13, 22))
    expected = np.count_nonzero((columns - x) ** 2 + (rows - y) ** 2 < radius**2)
    assert visible_disks(np.array([[x, y]]), (13, 22), radius).tolist() == [expected]


def test_a_pixel_exactly_the_radius_away_is_not_in_the_visible_disk() -> None:
    assert visible_disks(np.array([[20, 20]]), (41, 41), 5.0).tolist() == [69]
