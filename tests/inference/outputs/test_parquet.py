"""GeoParquet: read back by others' code."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet
import pytest
import shapely
from inference.outputs.found_nuclei import (
    CLASSES,
    EMPTY,
    EMPTY_OUTLINES,
    facts,
    found_outlines,
    found_points,
)

from transfer_kit.inference.outputs import parquet
from transfer_kit.inference.outputs.parquet import write_parquet


def metadata(path, key="geo"):
    return json.loads(pyarrow.parquet.read_schema(path).metadata[key.encode()])


def test_geopandas_gets_points_scores_and_classes(tmp_path, monkeypatch):
    geopandas = pytest.importorskip("geopandas", reason="geopandas is not installed")
    monkeypatch.setattr(parquet, "_ROW_GROUP", 40)
    found = found_points(100)
    write_parquet(tmp_path / "a.parquet", found, facts())
    frame = geopandas.read_parquet(tmp_path / "a.parquet")
    assert list(frame) == ["geometry", "x", "y", "score", "class"]
    assert np.array_equal(shapely.get_coordinates(frame.geometry), found.points)
    assert np.array_equal(frame[["x", "y"]], found.points)
    assert np.array_equal(frame["score"], found.scores)
    assert frame["class"].dtype == "category"
    assert list(frame["class"]) == [CLASSES[kind] for kind in found.kinds]
    assert frame.crs is None  # not longitude and latitude, as a missing one would mean


def test_geopandas_gets_outlines_and_their_areas(tmp_path):
    geopandas = pytest.importorskip("geopandas", reason="geopandas is not installed")
    found, instances = found_outlines()
    write_parquet(tmp_path / "a.parquet", found, facts(mpp=0.5))
    frame = geopandas.read_parquet(tmp_path / "a.parquet")
    pixels = np.bincount(instances.ravel())[1:]
    drawn = ~shapely.is_missing(found.outlines)
    assert shapely.equals(frame.geometry.to_numpy()[drawn], found.outlines[drawn]).all()
    assert np.array_equal(frame["area_um2"][drawn], pixels[drawn] * 0.25)
    assert frame["area_um2"].isna().to_numpy().nonzero()[0].tolist() == [3, 7]
    assert (frame.geometry[~drawn].geom_type == "Point").all()


def test_points_are_the_bytes_that_geos_writes(tmp_path):
    found = found_points(20)
    write_parquet(tmp_path / "a.parquet", found, facts())
    written = pyarrow.parquet.read_table(tmp_path / "a.parquet")["geometry"].to_pylist()
    assert written == shapely.to_wkb(shapely.points(found.points.astype(float))).tolist()


def test_the_metadata_are_those_of_geoparquet_1_1(tmp_path):
    found, _ = found_outlines()
    write_parquet(tmp_path / "a.parquet", found, facts())
    column = {
        "encoding": "WKB",
        "geometry_types": ["MultiPolygon", "Point", "Polygon"],
        "crs": None,
        "edges": "planar",
        "bbox": [-0.5, -0.5, 109.5, 89.5],
    }
    expected = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    low, high = shapely.total_bounds(found.outlines).reshape(2, 2)
    column["bbox"] = [*low.tolist(), *high.tolist()]
    assert metadata(tmp_path / "a.parquet") == expected
    assert metadata(tmp_path / "a.parquet", "transfer_kit")["mpp"] == 0.25


def test_a_point_outside_of_all_outlines_is_within_the_bounds(tmp_path):
    found, _ = found_outlines()
    found.points[3] = (200, -7)
    write_parquet(tmp_path / "a.parquet", found, facts())
    _, top, right, _ = metadata(tmp_path / "a.parquet")["columns"]["geometry"]["bbox"]
    assert (top, right) == (-7, 200)


@pytest.mark.parametrize(("found", "columns"), [(EMPTY, 5), (EMPTY_OUTLINES, 6)])
def test_no_nuclei_are_an_empty_table(tmp_path, found, columns):
    geopandas = pytest.importorskip("geopandas", reason="geopandas is not installed")
    write_parquet(tmp_path / "a.parquet", found, facts())
    assert geopandas.read_parquet(tmp_path / "a.parquet").shape == (0, columns)
    assert "bbox" not in metadata(tmp_path / "a.parquet")["columns"]["geometry"]
