"""Density maps: the integral is the count, and others read the file."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import tifffile
from inference.outputs.found_nuclei import CLASSES, EMPTY, NOTHING, facts, found_points

from transfer_kit.inference.found import FoundNuclei
from transfer_kit.inference.outputs.density import density_map, write_density

SIZE = (8_000, 12_000)
TISSUE = shapely.MultiPolygon(
    [
        shapely.box(1_000, 1_000, 6_000, 7_000).difference(shapely.box(3_000, 3_000, 4_000, 5_000)),
        shapely.box(9_000, 10, 11_990, 500),
    ]
)


def found_in(area, count=500, seed=0):
    """Nuclei anywhere in an area, its corners among them."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, SIZE[::-1], (20 * count, 2))
    points = points[shapely.contains_xy(area, *points.T)][:count]
    points = np.concatenate([points, shapely.get_coordinates(area)]).astype(np.float32)
    kinds = rng.integers(0, 3, len(points)).astype(np.uint16)
    return FoundNuclei(points, np.ones(len(points), np.float32), kinds, CLASSES)


@pytest.mark.parametrize("resolution", [8.0, 30.0])
@pytest.mark.parametrize("by_class", [True, False])
def test_the_integral_is_the_count(resolution, by_class):
    found, slide = found_in(TISSUE), facts(SIZE, searched=TISSUE)
    bands = density_map(found, slide, resolution_um=resolution, by_class=by_class)
    counts = bands.sum(axis=(1, 2), dtype=float) * (resolution / 1000) ** 2
    expected = np.bincount(found.kinds) if by_class else [len(found)]
    np.testing.assert_allclose(counts, expected, rtol=1e-4)


def test_one_nucleus_is_a_gaussian_about_its_pixel():
    slide = facts((4_000, 4_000), mpp=0.5)
    found = FoundNuclei(
        np.array([[1_007.5, 1_503.5]], np.float32), np.ones(1, np.float32),
        np.zeros(1, np.uint16), ("a",),
    )  # fmt: skip
    (band,) = density_map(found, slide, resolution_um=8, smoothing_um=40)
    assert band.shape == (250, 250)
    row, column = np.unravel_index(band.argmax(), band.shape)
    # (1503.5 + 0.5) * 0.5 / 8 = 94.0 and (1007.5 + 0.5) * 0.5 / 8 = 63.0
    assert (row, column) == (94, 63)
    assert band[94, 63] == pytest.approx(1 / (2 * np.pi * 0.04**2), rel=0.01)
    assert band[94, 68] / band[94, 63] == pytest.approx(np.exp(-0.5), rel=0.01)


def test_density_does_not_fall_off_at_the_rim_of_the_tissue():
    """One nucleus a pixel of the map all over the tissue: the same density up to its edge."""
    x, y = np.meshgrid(np.arange(1_016, 5_000, 32.0), np.arange(1_016, 6_984, 32.0))
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32) - 0.5
    searched = shapely.MultiPolygon([shapely.box(1_000, 1_000, 4_985, 6_969)])
    found = FoundNuclei(
        points, np.ones(len(points), np.float32), np.zeros(len(points), np.uint16), ("a",)
    )
    slide = facts(SIZE, searched=searched)
    (band,) = density_map(found, slide, resolution_um=8)
    assert band[:31].max() == 0 == band[:, 156:].max()
    np.testing.assert_allclose(band[31:218, 31:156], 1e6 / 64, rtol=0.1)  # a corner: else a quarter


def test_tifffile_reads_a_tiled_pyramid_with_scale_and_bands(tmp_path):
    found, slide = found_in(TISSUE), facts(SIZE, searched=TISSUE)
    write_density(tmp_path / "a.ome.tif", found, slide)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        series = tif.series[0]
        assert tif.is_ome
        assert series.axes == "CYX"
        assert [level.shape for level in series.levels] == [(3, 250, 375), (3, 125, 187)]
        assert series.dtype == np.float32
        assert tif.pages[0].is_tiled
        omexml = tif.ome_metadata
        np.testing.assert_array_equal(series.asarray(), density_map(found, slide))
        coarse = series.levels[1].asarray().mean(axis=(1, 2))
        np.testing.assert_allclose(coarse, series.asarray().mean(axis=(1, 2)), rtol=0.02)
    assert 'PhysicalSizeX="8.0" PhysicalSizeXUnit="µm"' in omexml
    assert 'Name="tumour"' in omexml
    assert 'Name="nuclei"' in omexml  # those without a class


def test_one_band_for_all_has_no_third_axis(tmp_path):
    write_density(tmp_path / "a.ome.tif", found_points(9), facts(), by_class=False)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert tif.series[0].shape == (3, 4)  # 90 x 110 px of 0.25 µm in pixels of 8 µm


@pytest.mark.parametrize("slide", [facts(), NOTHING])
def test_no_nuclei_are_no_density(tmp_path, slide):
    write_density(tmp_path / "a.ome.tif", EMPTY, slide)
    assert not tifffile.imread(tmp_path / "a.ome.tif").any()


def test_nuclei_outside_of_what_was_searched_are_not_lost():
    found = found_points(40)
    band = density_map(found, NOTHING, by_class=False)
    assert band.sum() * 64e-6 == pytest.approx(40, rel=1e-4)
