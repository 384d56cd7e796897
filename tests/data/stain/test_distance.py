from __future__ import annotations

import numpy as np
import pytest

from transfer_kit.data.stain.distance import (
    DensityStatistics,
    density_statistics,
    mean_statistics,
    stain_distance,
    tissue_density,
)


def plain(*colours, side=20):
    """Stripes of colours, one below the other."""
    return np.vstack([np.full((side, side, 3), colour, np.uint8) for colour in colours])


def test_density_is_natural_and_that_of_the_tissue_alone():
    # (I + 1) / 256 = ½ and ⅛: densities .693 and 2.079; glass does not count.
    half, eighth, glass = (127,) * 3, (31,) * 3, (250,) * 3
    found = density_statistics(plain(half, glass, eighth))
    assert found.mean == pytest.approx([2 * np.log(2)] * 3)
    assert found.deviation == pytest.approx([np.log(2)] * 3)
    assert len(tissue_density(plain(half, glass, eighth))) == 2 * 20 * 20
    assert density_statistics(plain(glass)) is None


def test_large_images_are_sampled_with_the_same_mean():
    image = np.random.default_rng(0).integers(40, 200, (900, 700, 3), np.uint8)
    tissue = tissue_density(image)
    assert 50_000 < len(tissue) < 120_000
    whole = -np.log((image.astype(float) + 1) / 256).reshape(-1, 3)
    assert tissue.mean(axis=0) == pytest.approx(whole.mean(axis=0), abs=0.01)


def test_each_image_counts_the_same_however_large_it_is():
    small, large = plain((127,) * 3), plain((31,) * 3, side=100)
    found = mean_statistics([density_statistics(image) for image in (small, large)])
    assert found.mean == pytest.approx([2 * np.log(2)] * 3)
    assert found.deviation == pytest.approx([0, 0, 0], abs=1e-6)


def test_images_of_glass_are_passed_over():
    glass = density_statistics(plain((250,) * 3))
    tissue = density_statistics(plain((90, 60, 120)))
    assert mean_statistics([glass, tissue]) == tissue
    assert mean_statistics([glass]) is None
    assert mean_statistics([]) is None


def test_the_distance_joins_means_and_deviations_of_the_channels():
    first = DensityStatistics((0.1, 0.2, 0.3), (0.1, 0.1, 0.1))
    second = DensityStatistics((0.4, 0.2, 0.3), (0.1, 0.5, 0.1))
    assert stain_distance(first, second) == pytest.approx(0.5)  # 3, 4, 5
    assert stain_distance(first, first) == 0
