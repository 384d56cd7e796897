"""QuPath GeoJSON: conventions drawn out, properties kept, exact round trips."""

import json
import uuid

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import (
    AnnotationSource,
    ImageInfo,
    RegionNames,
    read_annotation,
    write_geojson,
)
from transfer_kit.errors import UserError

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]


def feature(geometry, **properties):
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def point(x, y, **properties):
    return feature({"type": "Point", "coordinates": [x, y]}, **properties)


def polygon(ring, **properties):
    return feature({"type": "Polygon", "coordinates": [ring]}, **properties)


def image(tmp_path):
    return ImageInfo("a.png", tmp_path / "a.png", 100_000, 100_000)


def read(tmp_path, document, **options):
    path = tmp_path / "a.geojson"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_annotation(AnnotationSource("geojson", (path,)), image(tmp_path), **options)


def reread(tmp_path, annotation, **options):
    path = tmp_path / "b.geojson"
    write_geojson(path, annotation, **options)
    return read_annotation(AnnotationSource("geojson", (path,)), image(tmp_path)), json.loads(
        path.read_text()
    )


def test_corners_at_integers_become_centres_at_integers(tmp_path):
    """QuPath's numbers lie on the grid lines, the kit's on the pixels.

    QuPath   0     1     2     3     4
             |-----|-----|-----|-----|      a point in the middle of the first pixel: 0.5
             |  o  |     |     |     |      a polygon around all four pixels: 0 to 4
             |-----|-----|-----|-----|
    the kit     0     1     2     3         the same point: 0; the polygon: -0.5 to 3.5
    """
    read_ = read(tmp_path, [point(0.5, 0.5), polygon(SQUARE)])
    np.testing.assert_array_equal(read_.points, [[0, 0], [1.5, 1.5]])
    assert read_.outlines[0] is None
    assert read_.outlines[1].bounds == (-0.5, -0.5, 3.5, 3.5)


@pytest.mark.parametrize("wrap", [lambda f: {"type": "FeatureCollection", "features": [f]}, list])
def test_a_collection_a_list_and_a_single_feature_are_read(tmp_path, wrap):
    one = point(3, 4)
    document = [one] if wrap is list else wrap(one)
    for given_ in (document, one):
        np.testing.assert_array_equal(read(tmp_path, given_).points, [[2.5, 3.5]])


def test_each_point_of_a_multipoint_is_a_nucleus_and_a_multipolygon_is_one(tmp_path):
    several = feature({"type": "MultiPoint", "coordinates": [[1, 1], [2, 2], [3, 3]]})
    far = [[x + 10, y] for x, y in SQUARE]
    pieces = feature({"type": "MultiPolygon", "coordinates": [[SQUARE], [far]]})
    read_ = read(tmp_path, [several, pieces])
    np.testing.assert_allclose(read_.points[:3, 0], [0.5, 1.5, 2.5])
    np.testing.assert_allclose(read_.points[3], [6.5, 1.5])


def test_of_a_cell_the_nucleus_counts(tmp_path):
    cell = polygon([[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]], objectType="cell")
    cell["nucleusGeometry"] = {"type": "Polygon", "coordinates": [SQUARE]}
    read_ = read(tmp_path, [cell])
    np.testing.assert_allclose(read_.points, [[1.5, 1.5]])
    _, written = reread(tmp_path, read_)
    assert written["features"][0]["geometry"] == cell["geometry"]
    assert written["features"][0]["nucleusGeometry"] == {
        "type": "Polygon",
        "coordinates": [[[float(x), float(y)] for x, y in SQUARE]],
    }


def test_classes_are_named_in_all_of_qupaths_ways(tmp_path):
    read_ = read(
        tmp_path,
        [
            point(1, 1, classification={"name": "Tumor", "color": [200, 0, 0]}),
            point(1, 1, classification={"names": ["Tumor", "Positive"]}),
            point(1, 1, classification={"name": "Immune cells", "colorRGB": -6895466}),
            point(1, 1),
        ],
    )
    assert read_.classes == ("Tumor", "Tumor: Positive", "Immune cells", "")


def test_region_classes_are_areas_and_no_nuclei(tmp_path):
    document = [
        point(1, 1),
        polygon(SQUARE, classification={"name": "Labelled region"}),
        polygon(SQUARE, classification={"name": "Region*"}),
        polygon(SQUARE, classification={"name": "Region: tumour"}),
    ]
    read_ = read(tmp_path, document)
    assert len(read_) == 1
    assert len(read_.labelled_regions) == 2
    assert [name for name, _ in read_.region_labels] == ["tumour"]
    assert read_.labelled_regions[0].bounds == (-0.5, -0.5, 3.5, 3.5)


def test_other_region_classes_can_be_chosen(tmp_path):
    document = [
        polygon(SQUARE, classification={"name": "ROI"}),
        polygon(SQUARE, classification={"name": "Area/stroma"}),
    ]
    read_ = read(tmp_path, document, regions=RegionNames(labelled=("roi",), prefix="Area/"))
    assert (len(read_), len(read_.labelled_regions)) == (0, 1)
    assert read_.region_labels[0][0] == "stroma"


def test_tiles_and_cores_are_no_nuclei(tmp_path):
    assert len(read(tmp_path, [polygon(SQUARE, objectType="tile"), point(1, 1)])) == 1


def test_colour_measurements_and_ids_survive_bit_for_bit(tmp_path):
    properties = {
        "objectType": "annotation",
        "name": "a nucleus, ä",
        "color": [255, 0, 7],
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
        "isLocked": True,
        "measurements": {"Area µm^2": 0.1 + 0.2, "Nucleus: Circularity": 1e-17},
        "metadata": {"grade": "2"},
    }
    item = polygon(SQUARE, **properties)
    item["id"] = "d2a7a1ce-0d1f-4d18-9a9d-4a2b7a4f6a11"
    _, written = reread(tmp_path, read(tmp_path, [item]))
    back = written["features"][0]
    assert back["properties"] == properties
    assert json.dumps(back["properties"]) == json.dumps(properties)
    assert back["id"] == item["id"]


def test_a_changed_class_replaces_the_classification_alone(tmp_path):
    read_ = read(tmp_path, [point(1, 1, classification={"name": "Tumor"}, color=[1, 2, 3])])
    changed = Annotation(read_.points, ("Stroma",), properties=read_.properties)
    _, written = reread(tmp_path, changed, color_of=lambda name: (1, 2, 3))
    assert written["features"][0]["properties"]["classification"] == {
        "name": "Stroma",
        "color": [1, 2, 3],
    }
    assert written["features"][0]["properties"]["color"] == [1, 2, 3]


def test_what_is_written_are_valid_detections_with_scores(tmp_path):
    nuclei = Annotation(
        np.array([[1, 2], [3, 4]], np.float32),
        ("Tumor", ""),
        labelled_regions=(shapely.box(0, 0, 9, 9),),
        region_labels=(("stroma", shapely.box(0, 0, 5, 5)),),
    )
    back, written = reread(tmp_path, nuclei, scores=[0.25, 0.75])
    assert written["type"] == "FeatureCollection"
    kinds = [f["properties"]["objectType"] for f in written["features"]]
    assert kinds == ["annotation", "annotation", "detection", "detection"]
    first, second = written["features"][2:]
    assert first["geometry"] == {"type": "Point", "coordinates": [1.5, 2.5]}
    assert first["properties"]["measurements"] == {"Detection score": 0.25}
    assert first["properties"]["classification"]["name"] == "Tumor"
    assert len(first["properties"]["classification"]["color"]) == 3
    assert "classification" not in second["properties"]
    assert back.labelled_regions[0].equals(nuclei.labelled_regions[0])
    assert back.region_labels[0][0] == "stroma"


def test_ids_are_uuids_of_their_own_and_the_same_each_time(tmp_path):
    several = feature({"type": "MultiPoint", "coordinates": [[1, 1], [2, 2]]})
    several["id"] = str(uuid.UUID(int=5))
    read_ = read(tmp_path, [several, point(7, 7)])
    _, first = reread(tmp_path, read_)
    _, second = reread(tmp_path, read_)
    ids = [f["id"] for f in first["features"]]
    assert ids == [f["id"] for f in second["features"]]
    assert len(set(ids)) == 2
    assert ids[0] == several["id"]
    assert all(str(uuid.UUID(one)) == one for one in ids)


coordinates = st.floats(-0.5, 1e5 - 0.5, width=32).filter(lambda v: v == 0 or abs(v) > 1e-6)


@given(arrays(np.float32, st.tuples(st.integers(0, 30), st.just(2)), elements=coordinates))
@settings(max_examples=60, deadline=None)
def test_points_come_back_exactly(tmp_path_factory, points):
    tmp_path = tmp_path_factory.mktemp("g")
    back, _ = reread(tmp_path, Annotation.of_points(points))
    np.testing.assert_array_equal(back.points, points)


@given(
    coordinates,
    coordinates,
    st.floats(0.5, 30),
    st.integers(-64, 64).map(lambda part: part / 256),
)
@settings(max_examples=60, deadline=None)
def test_outlines_come_back_with_the_detectors_own_centre(tmp_path_factory, x, y, radius, off):
    tmp_path = tmp_path_factory.mktemp("g")
    centre = np.array([[x + off, y]], np.float32)
    assume(x + off == 0 or abs(x + off) > 1e-6)  # what is less is written as 0
    outline = shapely.Point(x, y).buffer(radius)
    back, _ = reread(tmp_path, Annotation(centre, ("",), outlines=(outline,)))
    np.testing.assert_array_equal(back.points, centre)
    assert back.outlines[0].equals_exact(outline, 1e-9)


def test_an_outline_moved_in_qupath_takes_its_centre_along(tmp_path):
    moved = polygon(
        [[x + 50, y] for x, y in SQUARE], measurements={"Centre X px": 2.0, "Centre Y px": 2.0}
    )
    np.testing.assert_allclose(read(tmp_path, [moved]).points, [[51.5, 1.5]])


def test_a_polygon_that_crosses_itself_has_its_centre_inside(tmp_path):
    bow_tie = polygon([[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]])
    np.testing.assert_allclose(read(tmp_path, [bow_tie]).points, [[1.5, 1.5]])


def test_an_unnamed_annotation_around_nuclei_is_refused(tmp_path):
    document = [polygon([[0, 0], [99, 0], [99, 99], [0, 99], [0, 0]], objectType="annotation")]
    document += [point(10 * k, 10, objectType="detection") for k in range(1, 8)]
    with pytest.raises(UserError, match=r"a\.geojson, feature 1: .* encloses 7 nuclei.*'Labelled"):
        read(tmp_path, document)


def test_scores_of_another_number_are_a_mistake_of_the_caller(tmp_path):
    with pytest.raises(ValueError, match="0 nuclei, but got 1"):
        write_geojson(tmp_path / "x.geojson", Annotation.of_points([]), scores=[1.0])
