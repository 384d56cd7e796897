"""Dynamics and watershed, against Eq. 4 written out and against scikit-image."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from drawn_instances import scattered_discs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_cdt, gaussian_filter, label
from skimage.measure import label as skimage_label
from skimage.morphology import h_maxima, local_maxima, reconstruction
from skimage.segmentation import watershed

from transfer_kit.codecs import watershed as module
from transfer_kit.codecs.watershed import maxima_by_dynamics, separate

EIGHT = np.ones((3, 3), int)


def hills(seed: int, *, noise: float = 0.6) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    discs = scattered_discs(seed, count=40, size=(120, 130)) > 0
    heights = gaussian_filter(distance_transform_cdt(discs).astype(float), 1)
    return np.clip(heights + rng.normal(0, noise, heights.shape), 0, 255).astype(np.uint8)


def by_scikit_image(
    levels: NDArray[np.uint8], foreground: NDArray[np.bool_], dynamics: int
) -> NDArray[np.int32]:
    cut = reconstruction(np.maximum(levels.astype(int) - dynamics, 0), levels)
    markers = skimage_label(local_maxima(cut) & foreground)
    return flooded_in_order(levels, markers, foreground)


def flooded_in_order(
    levels: NDArray[np.uint8], markers: NDArray[np.int64], foreground: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Scikit-image's, with equal seeds told apart: the first in reading order floods first."""
    order = np.where(markers > 0, np.cumsum(markers > 0).reshape(markers.shape), 0)
    depths = -levels.astype(float) + order / (2 * markers.size)
    return watershed(depths, markers, mask=foreground, connectivity=2)


def passes(levels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Between each two pixels, the highest that the lowest point of a path can be."""
    count = levels.size
    heights = levels.ravel().astype(int)
    best = np.full((count, count), -1)
    rows, columns = levels.shape
    for start in range(count):
        best[start, start] = heights[start]
        queue = [(-heights[start], start)]
        while queue:
            low, at = heapq.heappop(queue)
            if -low < best[start, at]:
                continue
            y, x = divmod(at, columns)
            for v in range(max(y - 1, 0), min(y + 2, rows)):
                for u in range(max(x - 1, 0), min(x + 2, columns)):
                    there = v * columns + u
                    height = min(-low, heights[there])
                    if height > best[start, there]:
                        best[start, there] = height
                        heapq.heappush(queue, (-height, there))
    return best


def kept_by_equation_4(levels: NDArray[np.uint8], p1: int) -> set[frozenset[int]]:
    """Groups of equal maxima, less than p1 apart, that fall by more than p1 to all higher ones."""
    heights, best = levels.ravel().astype(int), passes(levels)
    groups = set()
    for at in range(levels.size):
        higher = heights > heights[at]
        drops = heights[at] - best[at, higher]
        if heights[at] - heights.min() > p1 and (drops > p1).all():
            equal = (heights == heights[at]) & (heights[at] - best[at] <= p1)
            groups.add(frozenset(np.flatnonzero(equal).tolist()))
    return groups


@given(
    levels=arrays(
        np.uint8, st.tuples(st.integers(2, 6), st.integers(2, 6)), elements=st.integers(0, 6)
    ),
    p1=st.integers(0, 3),
)
@settings(deadline=None, max_examples=80)
def test_the_maxima_are_those_of_equation_4(levels: NDArray[np.uint8], p1: int) -> None:
    markers, count = label(maxima_by_dynamics(levels, p1), EIGHT)
    expected = kept_by_equation_4(levels, p1)
    assert count == len(expected)
    for group in expected:
        pixels = np.array(sorted(group))
        numbers = np.unique(markers.ravel()[pixels])
        assert len(numbers) == 1
        assert numbers[0] > 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dynamics", [0, 1, 3])
def test_the_instances_are_those_of_scikit_image(seed: int, dynamics: int) -> None:
    levels = hills(seed)
    foreground = levels > 0
    ours = separate(levels, foreground, dynamics=dynamics)
    assert ours.dtype == np.int32
    assert ours.max() > 5
    assert np.array_equal(ours, by_scikit_image(levels, foreground, dynamics))


@pytest.mark.parametrize("seed", range(4))
def test_without_dynamics_the_instances_are_those_of_h_maxima_and_watershed(seed: int) -> None:
    levels = hills(seed)
    foreground = levels > 1
    seeds = skimage_label((h_maxima(levels, 1) > 0) & foreground)
    theirs = flooded_in_order(levels, seeds, foreground)
    assert np.array_equal(separate(levels, foreground, dynamics=0), theirs)


def test_what_lies_elsewhere_does_not_change_a_piece_of_foreground() -> None:
    levels = hills(0)
    foreground = levels > 1
    together = separate(levels, foreground, dynamics=0)
    pieces = skimage_label(foreground, connectivity=2)
    for piece in range(1, pieces.max() + 1):
        own = pieces == piece
        alone = separate(np.where(own, levels, 0), own, dynamics=0)
        numbers = [np.unique(found[own], return_inverse=True)[1] for found in (together, alone)]
        assert np.array_equal(*numbers)


@pytest.mark.parametrize("dynamics", [1, 2, 5])
def test_every_h_maximum_lies_in_a_maximum_and_only_equal_ones_share_it(dynamics: int) -> None:
    levels = hills(9, noise=1.5)
    theirs = label(h_maxima(levels, dynamics + 1) * (levels > dynamics), EIGHT)[0]
    ours = label(maxima_by_dynamics(levels, dynamics), EIGHT)[0]
    assert ours[theirs > 0].all()
    assert set(np.unique(ours[theirs > 0])) == set(range(1, ours.max() + 1))
    for number in range(1, ours.max() + 1):
        inside = (ours == number) & (theirs > 0)
        assert len(np.unique(levels[inside])) == 1


def test_two_hills_are_one_nucleus_unless_the_valley_is_deeper_than_p1() -> None:
    levels = np.zeros((5, 11), np.uint8)
    levels[2, 1:10] = [3, 6, 8, 6, 5, 6, 7, 5, 2]
    separated = [int(separate(levels, levels > 0, dynamics=p1).max()) for p1 in (0, 1, 2, 3)]
    assert separated == [2, 2, 1, 1]  # the lower hill is 7, the valley 5: its dynamics are 2


def test_a_long_way_to_the_next_hill_is_followed_to_its_end(monkeypatch) -> None:
    # A ridge that winds through the map: the far end is reached only step by step.
    levels = np.zeros((41, 41), np.uint8)
    levels[::2] = 20
    levels[1::4, -1] = levels[3::4, 0] = 20
    levels[0, 0], levels[-1, -1] = 24, 22
    monkeypatch.setattr(module, "_MOST_GROUPS", 1)
    impatient = maxima_by_dynamics(levels, 3)
    monkeypatch.setattr(module, "_MOST_GROUPS", 10_000)
    patient = maxima_by_dynamics(levels, 3)
    assert np.array_equal(impatient, patient)
    assert label(patient, EIGHT)[1] == 1
    assert label(maxima_by_dynamics(levels, 1), EIGHT)[1] == 2


def test_foreground_without_a_maximum_belongs_to_no_nucleus() -> None:
    levels = np.zeros((5, 12), np.uint8)
    levels[1:4, 1:4], levels[1:4, 7:10] = 9, 2
    instances = separate(levels, levels > 0, dynamics=4)
    assert instances[2, 2] == 1
    assert not instances[:, 6:].any()


def test_numbers_follow_the_reading_order_of_the_maxima() -> None:
    levels = hills(2)
    instances = separate(levels, levels > 0, dynamics=1)
    maxima = label(maxima_by_dynamics(levels, 1) & (levels > 0), EIGHT)[0]
    firsts = [np.flatnonzero(maxima.ravel() == k)[0] for k in range(1, maxima.max() + 1)]
    assert instances.ravel()[sorted(firsts)].tolist() == list(range(1, len(firsts) + 1))


@pytest.mark.parametrize("value", [0, 7])
def test_a_flat_map_has_no_nucleus(value: int) -> None:
    levels = np.full((6, 8), value, np.uint8)
    assert not separate(levels, levels > 0, dynamics=0).any()
    assert not separate(levels, levels > 0, dynamics=3).any()
