from __future__ import annotations

import json

import numpy as np
import pytest
import shapely

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import AnnotationSource, ImageInfo, read_annotation, write_geojson
from transfer_kit.data.provenance import (
    PERSON,
    Origin,
    count_origins,
    detection_metadata,
    origins_of,
)

MODEL = "micronet-eye: best"  # names may hold a colon


def written(tmp_path, annotation, **options):
    write_geojson(tmp_path / "a.geojson", annotation, **options)
    return json.loads((tmp_path / "a.geojson").read_text())


def read(tmp_path, document):
    path = tmp_path / "b.geojson"
    path.write_text(json.dumps(document))
    image = ImageInfo("b.png", tmp_path / "b.png", 1000, 1000)
    return read_annotation(AnnotationSource("geojson", (path,)), image)


def through_qupath(document, *, version="0.5", measurements=True):
    """What QuPath keeps: two decimals, no foreign properties, metadata of detections by 0.5."""

    def rounded(value):
        if isinstance(value, list):
            return [rounded(each) for each in value]
        return round(value, 2)

    kept = ("objectType", "name", "color", "classification", "isLocked", "measurements", "metadata")
    features = []
    for feature in json.loads(json.dumps(document))["features"]:
        feature["geometry"]["coordinates"] = rounded(feature["geometry"]["coordinates"])
        feature["properties"] = {k: v for k, v in feature["properties"].items() if k in kept}
        if version == "0.4" and feature["properties"]["objectType"] == "detection":
            feature["properties"].pop("metadata", None)
        if not measurements:
            feature["properties"].pop("measurements", None)
        features.append(feature)
    return {"type": "FeatureCollection", "features": features}


def predictions():
    """A point, and an outline whose centroid is not the detector's centre."""
    outline = shapely.box(100, 100, 110, 120).difference(shapely.box(100, 100, 103, 103))
    points = np.array([[20.123456, 30.987654], [105, 109]], np.float32)
    return Annotation(points, ("Tumor", "Stroma"), outlines=(None, outline))


@pytest.mark.parametrize("measurements", [True, False])
def test_a_prediction_is_known_again_after_qupath(tmp_path, measurements):
    document = written(tmp_path, predictions(), scores=[0.5, 0.75], model=MODEL)
    again = read(tmp_path, through_qupath(document, measurements=measurements))
    assert origins_of(again) == (Origin("model", MODEL),) * 2


def test_a_prediction_says_its_model_place_and_class_in_texts_alone(tmp_path):
    document = written(tmp_path, predictions(), model=MODEL)
    first = document["features"][0]["properties"]["metadata"]
    assert first == {"origin": f"model: {MODEL}", "detected": "20.62 31.49 Tumor"}
    assert first == detection_metadata(MODEL, (20.123456, 30.987654), "Tumor")


def test_one_of_another_class_or_place_is_corrected(tmp_path):
    document = through_qupath(written(tmp_path, predictions(), scores=[0.5, 0.75], model=MODEL))
    point, outlined = document["features"]
    point["properties"]["classification"] = {"name": "Stroma", "color": [0, 0, 0]}
    assert origins_of(read(tmp_path, document))[0] == Origin("corrected", MODEL)
    point["properties"]["classification"] = {"name": "Tumor", "color": [0, 0, 0]}
    point["geometry"]["coordinates"][0] += 3
    outlined["geometry"]["coordinates"][0] = [
        [x + 2, y] for x, y in outlined["geometry"]["coordinates"][0]
    ]
    moved = read(tmp_path, document)
    assert origins_of(moved) == (Origin("corrected", MODEL),) * 2


def test_what_a_person_draws_is_a_person_s(tmp_path):
    drawn = {
        "type": "Feature",
        "geometry": {"type": "MultiPoint", "coordinates": [[1, 1], [9, 9]]},
        "properties": {"objectType": "annotation"},
    }
    assert origins_of(read(tmp_path, [drawn])) == (PERSON, PERSON)
    assert origins_of(Annotation.of_points([[1, 1]])) == (PERSON,)


def test_labels_that_were_converted_are_still_a_person_s(tmp_path):
    outline = shapely.Point(50, 50).buffer(5)
    labels = Annotation([[51, 50]], ("",), outlines=(outline,))
    document = written(tmp_path, labels)
    assert "Centre X px" in document["features"][0]["properties"]["measurements"]
    assert origins_of(read(tmp_path, document)) == (PERSON,)


@pytest.mark.parametrize(
    "properties",
    [
        {"objectType": "detection", "measurements": {"Detection score": 0.5}},
        {"object_type": "detection", "measurements": [{"name": "Detection score", "value": 1}]},
        {"objectType": "detection", "measurements": {"Detection probability": 0.5}},
        {"objectType": "cell"},
    ],
)
def test_what_a_program_measured_is_some_model_s(tmp_path, properties):
    """QuPath 0.4 keeps no metadata of detections: the score remains."""
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [1, 1]},
        "properties": properties,
    }
    assert origins_of(read(tmp_path, [feature])) == (Origin("model"),)


def test_of_qupath_0_4_the_score_remains(tmp_path):
    document = written(tmp_path, predictions(), scores=[0.5, 0.75], model=MODEL)
    again = read(tmp_path, through_qupath(document, version="0.4"))
    assert origins_of(again) == (Origin("model"),) * 2


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        ("person", PERSON),
        ("model: x", Origin("model", "x")),
        ("corrected", Origin("corrected")),
        ("Corrected: x: y", Origin("corrected", "x: y")),
        ("somebody", PERSON),
        (7, PERSON),
        ([], PERSON),
    ],
)
def test_an_origin_that_is_said_counts(tmp_path, said, origin):
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [1, 1]},
        "properties": {"objectType": "annotation", "origin": said},
    }
    assert origins_of(read(tmp_path, [feature])) == (origin,)


@pytest.mark.parametrize("odd", [None, 7, "x y z", "", {"a": 1}])
def test_metadata_that_others_wrote_do_no_harm(tmp_path, odd):
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [1, 1]},
        "properties": {"metadata": {"origin": "model: x", "detected": odd}, "measurements": 7},
    }
    assert origins_of(read(tmp_path, [feature])) == (Origin("model", "x"),)


def test_each_point_of_several_may_have_an_origin_of_its_own(tmp_path):
    from dataclasses import replace

    several = {
        "type": "Feature",
        "geometry": {"type": "MultiPoint", "coordinates": [[1, 1], [9, 9], [20, 20]]},
        "properties": {"objectType": "annotation", "origin": ["person", "model: x", "corrected"]},
    }
    labels = read(tmp_path, [several])
    assert [str(origin) for origin in origins_of(labels)] == several["properties"]["origin"]
    (again,) = written(tmp_path, labels)["features"]
    assert again["properties"] == several["properties"]
    alike = tuple({**p, "origin": "person"} for p in labels.properties)
    (again,) = written(tmp_path, replace(labels, properties=alike))["features"]
    assert again["properties"]["origin"] == "person"


def test_counts_name_persons_first_then_models():
    origins = [Origin("model", "b"), Origin("corrected", "a"), Origin("model", "a"), PERSON, PERSON]
    assert list(count_origins(origins).items()) == [
        ("person", 2),
        ("model: a", 1),
        ("model: b", 1),
        ("corrected: a", 1),
    ]
