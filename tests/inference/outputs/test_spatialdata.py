"""SpatialData: read back by spatialdata."""

from __future__ import annotations

import errno
import sys

import numpy as np
import pytest
import shapely
from inference.outputs.found_nuclei import CLASSES, EMPTY, facts, found_outlines, found_points

from transfer_kit.errors import UserError
from transfer_kit.inference.outputs.spatialdata import write_spatialdata


@pytest.fixture(scope="module")
def spatialdata():
    return pytest.importorskip("spatialdata", reason="the extra [spatial] is not installed")


def test_points_are_placed_as_images_are_and_scale_to_microns(tmp_path, spatialdata):
    found = found_points(50)
    write_spatialdata(tmp_path / "a.zarr", found, facts(mpp=0.5))
    data = spatialdata.read_zarr(tmp_path / "a.zarr")
    table = data["nuclei"].compute()
    np.testing.assert_allclose(table[["x", "y"]], found.points + 0.5)
    assert np.array_equal(table["score"], found.scores)
    assert list(table["class"]) == [CLASSES[kind] for kind in found.kinds]
    assert data.attrs["transfer_kit"]["model"] == "breast"
    microns = spatialdata.transform(data["nuclei"], to_coordinate_system="microns").compute()
    np.testing.assert_allclose(microns[["x", "y"]], (found.points + 0.5) * 0.5)


def test_outlines_are_shapes_that_share_the_index_of_the_points(tmp_path, spatialdata):
    found, _ = found_outlines()
    write_spatialdata(tmp_path / "a.zarr", found, facts())
    shapes = spatialdata.read_zarr(tmp_path / "a.zarr")["nuclei_outlines"]
    assert len(shapes) == len(found) - 2
    assert not {3, 7} & set(shapes.index)
    moved = shapely.transform(found.outlines[shapes.index], lambda corners: corners + 0.5)
    assert shapely.equals(shapes.geometry.to_numpy(), moved).all()
    np.testing.assert_allclose(shapes["area_um2"], shapes.area * 0.25**2)


def test_no_nuclei_replace_an_earlier_folder(tmp_path, spatialdata):
    write_spatialdata(tmp_path / "a.zarr", found_outlines()[0], facts())
    write_spatialdata(tmp_path / "a.zarr", EMPTY, facts())
    data = spatialdata.read_zarr(tmp_path / "a.zarr")
    assert len(data["nuclei"]) == 0
    assert list(data.shapes) == []
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_full_disk_leaves_the_earlier_folder(tmp_path, spatialdata, monkeypatch):
    write_spatialdata(tmp_path / "a.zarr", found_points(5), facts())

    def full(self, path):
        path.mkdir()
        (path / "half").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spatialdata.SpatialData, "write", full)
    with pytest.raises(UserError, match="No space is left"):
        write_spatialdata(tmp_path / "a.zarr", found_points(9), facts())
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    assert len(spatialdata.read_zarr(tmp_path / "a.zarr")["nuclei"]) == 5


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(UserError, match=r"transfer-kit\[spatial\]"):
        write_spatialdata(tmp_path / "a.zarr", EMPTY, facts())
