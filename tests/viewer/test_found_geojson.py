from __future__ import annotations

import json

import numpy as np
import pytest
import shapely

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import FORMATS, ImageInfo, write_geojson
from transfer_kit.errors import UserError
from transfer_kit.viewer.found_geojson import read_found_geojson


@pytest.fixture
def written(tmp_path):
    """Points, a polygon with a hole whose centre is elsewhere, pieces, and regions."""
    ring = shapely.Polygon([(0, 0), (8, 0), (8, 8), (0, 8)], [[(2, 2), (4, 2), (4, 4), (2, 4)]])
    pieces = shapely.MultiPolygon([shapely.box(20, 20, 22, 23), shapely.box(30, 20, 33, 23)])
    annotation = Annotation(
        np.array([[5.25, 6.5], [3, 3.5], [27, 21.5], [40, 41]], np.float32),
        ("tumour", "", "tumour", "stroma"),
        outlines=(None, ring, pieces, None),
        labelled_regions=(shapely.box(0, 0, 100, 100),),
        region_labels=(("tumour", shapely.box(0, 0, 50, 50)),),
    )
    path = tmp_path / "a.geojson"
    write_geojson(path, annotation, scores=[0.9, 0.25, 0.5, 1.5])
    return path


def test_it_reads_what_the_reader_of_annotations_reads(written):
    found, model = read_found_geojson(written)
    same = FORMATS["geojson"].read((written,), ImageInfo("a", written, 100, 100))
    assert model == ""
    np.testing.assert_array_equal(found.points, same.points)
    assert [found.classes[kind] for kind in found.kinds] == list(same.classes)
    np.testing.assert_array_equal(found.scores, np.array([0.9, 0.25, 0.5, 1.5], np.float32))
    for mine, theirs in zip(found.outlines, same.outlines, strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or mine.equals_exact(theirs, 1e-9)


def features(path):
    return json.loads(path.read_text())["features"]


@pytest.mark.parametrize("shape", ["a list", "one feature", "other members first", "spread out"])
def test_other_ways_to_write_the_same_are_read(written, tmp_path, shape):
    parts = [each for each in features(written) if each["geometry"]["type"] == "Point"]
    document = {
        "a list": parts,
        "one feature": parts[0],
        "other members first": {"name": "x", "type": "FeatureCollection", "features": parts},
        "spread out": {"type": "FeatureCollection", "features": parts},
    }[shape]
    path = tmp_path / "b.geojson"
    path.write_text(json.dumps(document, indent=2 if shape == "spread out" else None))
    found, _ = read_found_geojson(path)
    assert len(found) == (1 if shape == "one feature" else 2)
    assert found.points[0].tolist() == [5.25, 6.5]
    assert found.outlines is None


def test_an_empty_collection_is_no_fault(tmp_path):
    path = tmp_path / "none.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    assert len(read_found_geojson(path)[0]) == 0


def test_the_model_that_a_detection_names_is_told(written):
    parts = features(written)
    parts[-1]["properties"]["metadata"] = {"origin": "model: micronet-eye", "detected": "1 2"}
    written.write_text(json.dumps(parts))
    assert read_found_geojson(written)[1] == "micronet-eye"


def test_scores_of_old_qupaths_and_missing_ones_are_understood(written):
    parts = [each for each in features(written) if each["geometry"]["type"] == "Point"]
    parts[0]["properties"]["measurements"] = [{"name": "Detection score", "value": 0.75}]
    del parts[1]["properties"]["measurements"]
    written.write_text(json.dumps(parts))
    assert read_found_geojson(written)[0].scores.tolist() == [0.75, 1.0]


POINT = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (7, "feature 2 is no GeoJSON object"),
        ({**POINT, "properties": [1]}, "feature 2 is no GeoJSON object"),
        ({**POINT, "geometry": None}, "feature 2 is neither a point nor a polygon"),
        ({**POINT, "geometry": {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}}, "neither"),
        ({**POINT, "geometry": {"type": "Point", "coordinates": [1]}}, "feature 2 has no x and y"),
        ({**POINT, "geometry": {"type": "Point", "coordinates": [1, "b"]}}, "no finite number"),
        ({**POINT, "geometry": {"type": "Polygon", "coordinates": [[[1, 2], [3]]]}}, "corners"),
        ({**POINT, "geometry": {"type": "Polygon", "coordinates": [7]}}, "without sound corners"),
        (
            {**POINT, "properties": {"measurements": {"Detection score": "high"}}},
            "no finite number",
        ),
        ({**POINT, "properties": {"classification": {"name": 7}}}, "feature 2"),
    ],
)
def test_a_fault_is_told_with_the_number_of_its_feature(tmp_path, feature, words):
    path = tmp_path / "bad.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [POINT, feature]}))
    with pytest.raises(UserError, match=words):
        read_found_geojson(path)


@pytest.mark.parametrize(
    "text", ["", "[1", "{}", "7", '[{"a": NaN}', "[" * 5000, "[7 7]", '{"features": 7}']
)
def test_what_is_no_geojson_is_told_in_one_sentence(tmp_path, text):
    path = tmp_path / "bad.geojson"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.geojson"):
        read_found_geojson(path)


def test_a_file_cut_anywhere_is_told_in_one_sentence(written):
    text = written.read_text()
    for end in np.random.default_rng(0).integers(1, len(text) - 1, 60):
        written.write_text(text[:end])
        with pytest.raises(UserError, match=r"a\.geojson"):
            read_found_geojson(written)
