"""Exports in the shape of QuPath 0.2 to 0.6: what comes in goes out again, all of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qupath_exports import EXPORTS, IDS, POINTS, version_0_3, version_0_4, with_metadata_twice

from transfer_kit.data.formats import AnnotationSource, ImageInfo, read_annotation, write_geojson

SIZE = 100_000


def read(path):
    image = ImageInfo("a.png", path.with_suffix(".png"), SIZE, SIZE)
    return read_annotation(AnnotationSource("geojson", (path,)), image)


def read_text(tmp_path, text):
    path = tmp_path / "a.geojson"
    path.write_text(text, encoding="utf-8")
    return read(path)


def through_the_kit(tmp_path, document):
    """What stands in the file after the document was read and written."""
    write_geojson(tmp_path / "b.geojson", read_text(tmp_path, json.dumps(document)))
    return json.loads((tmp_path / "b.geojson").read_text(encoding="ascii"))["features"]


def features(document):
    return document if isinstance(document, list) else document["features"]


def assert_same(before, after):
    """Each feature is there again with all that it had; only ids that were missing are new."""
    assert len(after) == len(before)
    left = list(after)
    for feature in before:
        alike = [f for f in left if {k: v for k, v in f.items() if k in feature} == feature]
        assert alike, feature
        left.remove(alike[0])
        assert set(alike[0]) <= {*feature, "id"}


@pytest.mark.parametrize("version", EXPORTS)
def test_nothing_is_lost(tmp_path, version):
    document = EXPORTS[version]()
    after = through_the_kit(tmp_path, document)
    assert_same(features(document), after)
    assert_same(after, through_the_kit(tmp_path, after))


@pytest.mark.parametrize("version", EXPORTS)
def test_a_collection_an_array_and_pretty_printing_make_no_difference(tmp_path, version):
    found = features(EXPORTS[version]())
    texts = [
        json.dumps({"type": "FeatureCollection", "features": found}),
        json.dumps(found),
        json.dumps([{"type": "FeatureCollection", "features": found}], indent=2),
        "\ufeff" + json.dumps(found, ensure_ascii=False),
    ]
    first, *others = (read_text(tmp_path, text) for text in texts)
    for other in others:
        assert np.array_equal(other.points, first.points)
        assert other.properties == first.properties
        assert other.other_features == first.other_features


def test_a_single_feature_and_a_bare_geometry_are_read(tmp_path):
    one = features(version_0_4())[5]
    np.testing.assert_array_equal(read_text(tmp_path, json.dumps(one)).points, [[4.75, 6.25]])
    bare = read_text(tmp_path, json.dumps(one["geometry"]))
    np.testing.assert_array_equal(bare.points, [[4.75, 6.25]])


def test_what_is_a_nucleus_and_what_is_not(tmp_path):
    """Of 0.4: an ellipse, a cell, three points and a detection; not regions, tile and core."""
    annotation = read_text(tmp_path, json.dumps(version_0_4()))
    assert annotation.classes == ("Tumor", "Tumor: Positive", "Tumor", "Tumor", "Tumor", "")
    np.testing.assert_allclose(annotation.points[1], [64.5, 64.5])
    np.testing.assert_allclose(annotation.points[2:5], np.array(POINTS) - 0.5, atol=1e-5)
    (labelled,) = annotation.labelled_regions
    assert labelled.area == 100 * 100 - 5 * 5
    ((name, tumour),) = annotation.region_labels
    assert (name, tumour.geom_type) == ("tumour", "MultiPolygon")
    kinds = [f["properties"]["objectType"] for f in annotation.other_features]
    assert kinds == ["annotation", "annotation", "tile", "tmaCore"]


def test_a_derived_class_of_0_3_has_its_parent_s_name(tmp_path):
    annotation = read_text(tmp_path, json.dumps(version_0_3()))
    assert annotation.classes == ("Tumor: Positive", "")


def test_metadata_that_qupath_writes_twice_do_no_harm(tmp_path):
    annotation = read_text(tmp_path, with_metadata_twice(version_0_3()))
    (region,) = annotation.other_features
    assert region["properties"]["metadata"] == {"ANNOTATION_DESCRIPTION": "by two of us; ä"}


def test_measurements_that_are_no_number_survive(tmp_path):
    document = features(version_0_4())[:1]
    document[0]["properties"]["measurements"] = {"a": math.nan, "b": math.inf}
    (after,) = through_the_kit(tmp_path, document)
    assert math.isnan(after["properties"]["measurements"]["a"])
    assert after["properties"]["measurements"]["b"] == math.inf


def test_nested_objects_come_out_beside_their_parents(tmp_path):
    parent, child, grandchild = (features(version_0_4())[k] for k in (0, 2, 5))
    nested = json.loads(json.dumps(parent))
    inner = json.loads(json.dumps(child))
    inner["properties"]["childObjects"] = [grandchild]
    nested["properties"]["childObjects"] = [inner]
    root = {
        "type": "Feature",
        "id": IDS[9],
        "geometry": None,
        "properties": {"objectType": "root", "childObjects": [nested]},
    }
    after = through_the_kit(tmp_path, root)
    assert_same([parent, child, grandchild], [f for f in after if f["id"] != IDS[9]])


def test_a_point_that_was_moved_has_its_new_place_and_keeps_the_rest(tmp_path):
    from dataclasses import replace

    annotation = read_text(tmp_path, json.dumps(features(version_0_4())[5]))
    moved = replace(annotation, points=annotation.points + 10)
    write_geojson(tmp_path / "b.geojson", moved)
    (after,) = json.loads((tmp_path / "b.geojson").read_text())["features"]
    assert after["geometry"]["coordinates"] == [15.25, 16.75]
    assert after["id"] == IDS[5]


def test_of_several_points_those_that_became_another_class_leave_the_rest(tmp_path):
    from dataclasses import replace

    annotation = read_text(tmp_path, json.dumps(features(version_0_4())[4]))
    changed = replace(annotation, classes=("Tumor", "Stroma", "Tumor"))
    write_geojson(tmp_path / "b.geojson", changed)
    after = json.loads((tmp_path / "b.geojson").read_text())["features"]
    assert [f["properties"]["classification"]["name"] for f in after] == [*changed.classes]
    assert len({f["id"] for f in after}) == 3
    assert read(tmp_path / "b.geojson").classes == changed.classes


def test_a_region_that_was_dropped_or_changed_is_not_put_back(tmp_path):
    from dataclasses import replace

    annotation = read_text(tmp_path, json.dumps(version_0_4()))
    changed = replace(
        annotation, labelled_regions=(), region_labels=(("stroma", annotation.region_labels[0][1]),)
    )
    write_geojson(tmp_path / "b.geojson", changed)
    after = json.loads((tmp_path / "b.geojson").read_text())["features"]
    names = [f["properties"].get("classification", {}).get("name") for f in after]
    assert "Labelled region" not in names
    assert "Region: tumour" not in names
    assert "Region: stroma" in names


def test_what_is_written_is_ascii_whatever_the_classes_are_called(tmp_path):
    document = features(version_0_4())[5]
    document["properties"]["classification"] = {"name": "Zelle, äµ中", "color": [1, 2, 3]}
    document["properties"]["name"] = "half a character: \ud83d"
    (after,) = through_the_kit(tmp_path, document)
    assert after == document


hundredths = st.integers(0, 100 * SIZE).map(lambda n: n / 100)
words = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
numbers = st.floats(allow_nan=False) | st.integers(-1000, 1000)
colours = st.lists(st.integers(0, 255), min_size=3, max_size=3)


@st.composite
def polygons(draw):
    """A rectangle, with a hole where there is room, all at hundredths of a pixel."""
    x, y = draw(hundredths), draw(hundredths)
    width, height = (draw(st.integers(1, 4000)) / 100 for _ in "xy")

    def box(by):
        near, far = (
            (round(x + by, 2), round(y + by, 2)),
            (round(x + width - by, 2), round(y + height - by, 2)),
        )
        corners = [near, (far[0], near[1]), far, (near[0], far[1]), near]
        return [list(corner) for corner in corners]

    return [box(0), box(1)] if min(width, height) > 3 and draw(st.booleans()) else [box(0)]


geometries = st.one_of(
    st.builds(lambda x, y: {"type": "Point", "coordinates": [x, y]}, hundredths, hundredths),
    st.lists(st.tuples(hundredths, hundredths).map(list), min_size=1, max_size=4).map(
        lambda points: {"type": "MultiPoint", "coordinates": points}
    ),
    polygons().map(lambda rings: {"type": "Polygon", "coordinates": rings, "isEllipse": True}),
    st.lists(polygons(), min_size=1, max_size=2).map(
        lambda parts: {"type": "MultiPolygon", "coordinates": parts}
    ),
)


@st.composite
def exported(draw):
    """Features with random names, classes, colours, measurements and metadata."""
    found = []
    for number in range(draw(st.integers(0, 4))):
        area = draw(st.booleans())
        geometry = draw(geometries)
        properties = {"objectType": draw(st.sampled_from(["annotation", "detection", "tile"]))}
        name = draw(words)
        if area and "Point" not in geometry["type"]:
            name = draw(st.sampled_from(["Labelled region", "Region: tumour", "Region*"]))
        optional = {
            "name": words,
            "color": colours,
            "isLocked": st.booleans(),
            "measurements": st.dictionaries(words, numbers, max_size=3),
            "metadata": st.dictionaries(words, words, max_size=3),
        }
        for key, values in optional.items():
            if draw(st.booleans()):
                properties[key] = draw(values)
        if name:
            properties["classification"] = {"name": name, "color": draw(colours)}
        found.append(
            {"type": "Feature", "id": IDS[number], "geometry": geometry, "properties": properties}
        )
    return found


@given(exported())
@settings(max_examples=60, deadline=None)
def test_whatever_qupath_exports_comes_back(tmp_path_factory, document):
    tmp_path = tmp_path_factory.mktemp("q")
    assert_same(document, through_the_kit(tmp_path, document))
