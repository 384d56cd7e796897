"""Otsu's threshold and the filter against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_instances import same_partition
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import remove_small_objects

from transfer_kit.codecs.blobs import blobs_in, otsu_foreground, smoothed


def response(seed: int, *, spots: int = 6, height: float = 0.9) -> NDArray[np.float32]:
    """A noisy map with some bright spots."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((70, 90))
    share = 0.02 + 0.02 * rng.random((70, 90))
    for _ in range(spots):
        y, x = rng.uniform((5, 5), (65, 85))
        reach = rng.uniform(2, 7)
        share += height * rng.uniform(0.4, 1) * (np.hypot(rows - y, columns - x) < reach)
    return np.clip(share, 0, 1).astype(np.float32)


@given(seed=st.integers(0, 10**6), spots=st.integers(0, 8), height=st.floats(0.05, 1))
@settings(deadline=None, max_examples=40)
def test_the_foreground_is_above_scikit_images_otsu(seed: int, spots: int, height: float) -> None:
    probability = response(seed, spots=spots, height=height)
    levels = np.rint(255 * probability).astype(np.uint8)
    assert np.array_equal(otsu_foreground(probability), levels > threshold_otsu(levels))


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_flat_map_has_no_foreground(value: float) -> None:
    assert not otsu_foreground(np.full((8, 9), value, np.float32)).any()
    assert not otsu_foreground(np.full((8, 9), value, np.float32)[:0]).any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("above", [0, 20, 60])
def test_blobs_are_the_large_pieces_with_their_mean_probability(seed: int, above: int) -> None:
    probability = response(seed, spots=12)
    foreground = probability > 0.2
    blobs = blobs_in(probability, foreground, above_px=above)
    kept = remove_small_objects(foreground, max_size=above, connectivity=2)
    pieces = label(kept, connectivity=2)
    assert same_partition(blobs.instances, pieces.astype(np.int32))
    means = [r.mean_intensity for r in regionprops(blobs.instances, probability)]
    assert np.allclose(blobs.scores, means, atol=1e-5)
    assert pieces.max() == len(blobs.scores)
    assert len(blobs.scores) < 12 or not above


def test_smoothing_is_a_gaussian_and_zero_is_none() -> None:
    probability = response(0)
    expected = gaussian_filter(probability, 2.0, mode="mirror")
    assert np.allclose(smoothed(probability, 2.0), expected, atol=2e-3)
    assert smoothed(probability, 0.0) is probability
