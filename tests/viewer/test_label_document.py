from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
from shapely.geometry import mapping

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import RegionNames
from transfer_kit.viewer.label_document import MOST_NUCLEI, as_annotation, as_document, parse_labels
from transfer_kit.viewer.refusal import Refused

SQUARE = dict(mapping(shapely.box(0, 0, 10, 10)))


def body(nuclei=(), regions=(), **more):
    document = {"version": "nothing", "nuclei": list(nuclei), "regions": list(regions), **more}
    return json.dumps(document).encode()


def test_labels_come_back_from_the_page_as_they_went():
    annotation = Annotation(
        np.array([[1.1, 2.7], [30.123, 4]], np.float32),
        ("tumour", ""),
        outlines=(shapely.box(0, 0, 3.5, 4), None),
        labelled_regions=(shapely.box(0, 0, 50, 50).difference(shapely.box(9, 9, 12, 12)),),
        region_labels=(("stroma", shapely.box(5, 5, 20, 20)),),
        properties=({"origin": "model: x", "metadata": {"k": "v"}}, {}),
    )
    sent = json.loads(json.dumps(as_document(annotation)))
    back = as_annotation(parse_labels(body(**sent)), RegionNames())
    np.testing.assert_array_equal(back.points, annotation.points)
    assert back.classes == annotation.classes
    assert back.properties == annotation.properties
    assert back.outlines[0].wkb == annotation.outlines[0].wkb
    assert back.labelled_regions[0].wkb == annotation.labelled_regions[0].wkb
    assert back.region_labels[0][0] == "stroma"


def test_instances_are_sent_as_outlines_that_fill_to_them():
    instances = np.zeros((20, 20), np.int32)
    instances[3:7, 4:9], instances[12:15, 1:4] = 1, 2
    points = np.array([[6, 4.5], [2, 13]], np.float32)
    sent = as_document(Annotation(points, ("", ""), instances=instances))
    areas = [shapely.geometry.shape(nucleus["outline"]).area for nucleus in sent["nuclei"]]
    assert areas == [20, 9]


def test_an_outline_that_crosses_itself_becomes_the_area_it_encloses():
    tie = {"type": "Polygon", "coordinates": [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]]}
    labels = as_annotation(parse_labels(body(regions=[{"outline": tie}])), RegionNames())
    (region,) = labels.labelled_regions
    assert region.is_valid
    assert region.area == 50


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (body(more=1), "more: extra inputs"),
        (body(nuclei=[{"x": 1}]), r"nuclei\.0\.y: field required"),
        (body(nuclei=[{"x": "a", "y": 2}]), r"nuclei\.0\.x"),
        (b'{"version": "", "regions": [], "nuclei": [{"x": NaN, "y": 1}]}', r"nuclei\.0\.x"),
        (body(nuclei=[{"x": 1e9, "y": 2}]), r"nuclei\.0\.x"),
        (body(nuclei=[{"x": 1, "y": 2, "name": "n" * 101}]), r"nuclei\.0\.name"),
        (body(regions=[{"name": None}]), r"regions\.0\.outline: field required"),
        (body(nuclei=[{"x": 1, "y": 2}] * (MOST_NUCLEI + 1)), "nuclei"),
    ],
)
def test_a_request_that_is_not_understood_is_refused_in_a_sentence(text, words):
    with pytest.raises(Refused, match=words) as told:
        parse_labels(text)
    assert told.value.status == 400
    assert len(str(told.value)) < 200


@pytest.mark.parametrize(
    "outline",
    [
        {},
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [5, 5], [0, 0], [5, 5]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [None, 5], [4, 4], [0, 0]]]},
        {"type": "Polygon", "coordinates": "none"},
        {"type": "Circle"},
        {"type": 7},
    ],
)
def test_an_outline_that_is_none_is_refused_in_a_sentence(outline):
    document = parse_labels(body(regions=[{"outline": outline}]))
    with pytest.raises(Refused, match="An outline") as told:
        as_annotation(document, RegionNames())
    assert told.value.status == 400


@pytest.mark.parametrize("name", ["Labelled region", "Region: tumour", "region:stroma", "Region*"])
def test_no_nucleus_is_called_as_an_area(name):
    document = parse_labels(body(nuclei=[{"x": 1, "y": 2, "name": name}]))
    if name == "region:stroma":  # without the blank it is a class like any other
        assert as_annotation(document, RegionNames()).classes == (name,)
        return
    with pytest.raises(Refused, match="means an area"):
        as_annotation(document, RegionNames())


def test_an_area_needs_a_name():
    document = parse_labels(body(regions=[{"name": " ", "outline": SQUARE}]))
    with pytest.raises(Refused, match="needs a name"):
        as_annotation(document, RegionNames())
