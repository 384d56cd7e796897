"""GeoJSON that is damaged, foreign or meant otherwise: one sentence with the place and the mend."""

from __future__ import annotations

import gzip
import json
import os
import time
import zipfile
from copy import deepcopy
from random import Random

import numpy as np
import pytest
from dataset_folders import draw_tissue
from PIL import Image
from qupath_exports import EXPORTS, IDS

from transfer_kit.data.card import DatasetCard
from transfer_kit.data.check import check_dataset
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.formats import AnnotationSource, ImageInfo, read_annotation, write_geojson
from transfer_kit.data.formats.geojson_document import LARGEST_BYTES
from transfer_kit.data.provenance import origins_of
from transfer_kit.data.regions import polygon_mask
from transfer_kit.errors import UserError

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
CROSSING = [[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]]
FUZZ_SECONDS = float(os.environ.get("TRANSFER_KIT_FUZZ_SECONDS", "3"))


def feature(kind, coordinates, name="", **members):
    geometry = {"type": kind, "coordinates": coordinates}
    properties = {"classification": {"name": name}} if name else {}
    return {"type": "Feature", "geometry": geometry, "properties": properties, **members}


def point(x, y, **members):
    return feature("Point", [x, y], **members)


def read(path, width=100, height=100):
    image = ImageInfo("a.png", path.with_suffix(".png"), height, width)
    return read_annotation(AnnotationSource("geojson", (path,)), image)


def written(tmp_path, document):
    path = tmp_path / "a.geojson"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def refusal(path, **size):
    with pytest.raises(UserError) as caught:
        read(path, **size)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence.removeprefix(str(path))


@pytest.mark.parametrize(
    ("geometry", "says"),
    [
        (
            ("CircularString", SQUARE),
            "is a CircularString, a curve, which GeoJSON has none of; save",
        ),
        (("CurvePolygon", [SQUARE]), "is a CurvePolygon, a curve"),
        (("GeometryCollection", []), "is a GeometryCollection, neither points nor a polygon"),
        (("LineString", SQUARE), "is a LineString, neither points nor a polygon; delete it or"),
        (("MultiLineString", [SQUARE]), "is a MultiLineString, neither"),
        (("polygon", [SQUARE]), "is a polygon, neither"),
        ((7, SQUARE), "has no sound geometry"),
        (("Polygon", None), "is a Polygon without coordinates; draw it anew, or delete it"),
        (("MultiPolygon", []), "is a MultiPolygon without coordinates"),
        (("MultiPolygon", [[]]), "is a polygon without corners"),
        (("Polygon", [[[0, 0], [4, 0]]]), "has a ring of fewer than three corners"),
        (("Polygon", [SQUARE, [[1, 1]]]), "has a ring of fewer than three corners"),
        (("Point", ["12", "7"]), "a position in it is no pair of numbers; draw it anew"),
        (("Point", [None, 7]), "a position in it is no pair of numbers"),
        (("Point", [7]), "a position in it is no pair of numbers"),
        (("Point", [[7, 7]]), "a position in it is no pair of numbers"),
        (("Point", {"x": 7}), "is a Point without coordinates"),
        (("MultiPoint", [[1, 2], [3]]), "a position in it is no pair of numbers"),
        (("Polygon", SQUARE), "a position in it is no pair of numbers"),
        (("Polygon", "SQUARE"), "is a Polygon without coordinates"),
        (("Point", [10**30, 7]), "a position in it is no pair of numbers"),
        (("Point", [float("nan"), 7]), "has a coordinate that is no finite number; draw it anew"),
        (("Point", [7, float("inf")]), "has a coordinate that is no finite number"),
        (("Point", [7, 1e300]), "has the coordinate 1e+300, which is farther out than any slide"),
        (
            ("Point", [8.68, 50.11, 112.0]),
            "as longitude, latitude and height, where x and y in pix",
        ),
    ],
)
def test_a_geometry_that_is_none(tmp_path, geometry, says):
    path = written(tmp_path, [point(1, 1), feature(*geometry)])
    sentence = refusal(path)
    assert sentence.startswith(", feature 2 ")
    assert says in sentence


def test_a_height_of_zero_says_nothing(tmp_path):
    np.testing.assert_array_equal(
        read(written(tmp_path, [feature("Point", [3, 4, 0])])).points, [[2.5, 3.5]]
    )


def test_a_ring_that_is_not_closed_is_closed(tmp_path):
    (outline,) = read(written(tmp_path, [feature("Polygon", [SQUARE[:-1]])])).outlines
    assert outline.area == 16
    assert outline.exterior.coords[0] == outline.exterior.coords[-1] == (-0.5, -0.5)


def test_a_nucleus_with_a_hole_or_of_two_parts_is_one(tmp_path):
    ring = [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]], [[2, 2], [7, 2], [7, 7], [2, 7], [2, 2]]]
    far = [[[x + 20, y] for x, y in SQUARE]]
    path = written(tmp_path, [feature("Polygon", ring), feature("MultiPolygon", [[SQUARE], far])])
    annotation = read(path)
    assert [outline.area for outline in annotation.outlines] == [81 - 25, 32]
    np.testing.assert_allclose(annotation.points, [[4, 4], [11.5, 1.5]])


def test_areas_with_holes_and_crossing_rings_cover_what_they_enclose(tmp_path):
    ring = [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]], [[2, 2], [7, 2], [7, 7], [2, 7], [2, 2]]]
    path = written(
        tmp_path,
        [feature("Polygon", ring, "Labelled region"), feature("Polygon", [CROSSING], "Region: a")],
    )
    annotation = read(path)
    holed = polygon_mask(annotation.labelled_regions[0], (10, 10))
    assert holed.sum() == 81 - 25
    assert not holed[4, 4]
    crossing = polygon_mask(annotation.region_labels[0][1], (10, 10))
    # Two triangles that meet in the middle, of 4 px² each; pixels count by their centres.
    assert crossing[1, 0] == crossing[1, 3] == crossing[2, 0] == True  # noqa: E712
    assert not crossing[0, 1]


@pytest.mark.parametrize(("kind", "where"), [("Point", [5, 5]), ("Polygon", [[[1, 1]] * 4])])
@pytest.mark.parametrize("name", ["Labelled region", "Region: tumour"])
def test_a_region_without_area(tmp_path, kind, where, name):
    sentence = refusal(written(tmp_path, [feature(kind, where, name)]))
    assert f"feature 1 has the class '{name}', which means an area, but encloses none" in sentence
    assert "draw an area there, or give it another class" in sentence


def test_labels_of_another_image(tmp_path):
    path = written(tmp_path, [point(20_001.5, 300), point(20_100, 350)])
    sentence = refusal(path)
    assert (
        ": not one of its labels (2 nuclei) lies in a.png of 100 x 100 px, the first is" in sentence
    )
    assert "at (20001.5, 300); export from this very image" in sentence
    region = feature("Polygon", [[[x + 500, y] for x, y in SQUARE]], "Labelled region")
    assert "(regions alone)" in refusal(written(tmp_path, [region]))


def test_x_and_y_exchanged(tmp_path):
    path = written(tmp_path, [point(10, 150), point(60, 180)])
    sentence = refusal(path, width=200, height=100)
    assert "x and y seem exchanged, since all would fit an image on its side; exchange" in sentence


@pytest.mark.parametrize("x", [-1.9, 101.9])
def test_two_pixels_over_the_rim_are_read(tmp_path, x):
    assert len(read(written(tmp_path, [point(x, 50)]))) == 1


def test_a_region_around_the_whole_image_is_in_it(tmp_path):
    around = [[[-50, -50], [150, -50], [150, 150], [-50, 150], [-50, -50]]]
    path = written(tmp_path, [feature("Polygon", around, "Labelled region")])
    assert len(read(path).labelled_regions) == 1


def test_some_nuclei_outside_are_read_and_reported_by_the_check(tmp_path):
    findings = checked(tmp_path, lambda points: np.vstack([points, [[500, 20]]]))
    assert [(found.severity, found.code) for found in findings] == [("error", "outside")]
    assert "1 of 29 nuclei outside the image of 200x200, the farthest by" in findings[0].message


def test_micrometres_for_pixels_are_reported_by_the_check(tmp_path):
    (found,) = checked(tmp_path, lambda points: points * 0.25)
    assert (found.severity, found.code) == ("error", "micrometres")
    assert "are in µm, not pixels: nuclei are dark at (x / 0.25, y / 0.25)" in found.message
    assert "export pixels" in found.message


def checked(tmp_path, change):
    """What `data check` finds where the points of a sound image were changed."""
    image, points = draw_tissue(3)
    (tmp_path / "images").mkdir()
    Image.fromarray(image).save(tmp_path / "images" / "a.png")
    moved = change(points.astype(np.float64)) + 0.5
    document = [point(x, y) for x, y in moved.tolist()]
    (tmp_path / "a.geojson").write_text(json.dumps(document))
    card = {"name": "a", "organ": "eye", "stain": "H&E", "mpp": 0.25, "licence": "private"}
    return check_dataset(
        Dataset.of_card(DatasetCard.of_fields({**card, "annotations": "{stem}.geojson"}), tmp_path)
    )


def test_two_features_of_one_id(tmp_path):
    path = written(tmp_path, [point(1, 1, id=IDS[3]), point(5, 5), point(9, 9, id=IDS[3])])
    sentence = refusal(path)
    assert f", feature 3 has the id of feature 1 ({IDS[3]})" in sentence
    assert "delete one of the two" in sentence


@pytest.mark.parametrize("identifier", ["PathDetectionObject", "", "7", 7, None, [1], {"a": 1}])
def test_what_other_programs_call_an_id_may_be_there_twice(tmp_path, identifier):
    path = written(tmp_path, [point(1, 1, id=identifier), point(5, 5, id=identifier)])
    assert len(read(path)) == 2


def test_a_key_that_is_there_twice(tmp_path):
    text = json.dumps([point(1, 1), point(5, 5)])
    once = '"coordinates": [5, 5]'
    twice = written(tmp_path, text.replace(once, f'{once}, "coordinates": [6, 6]'))
    assert ", feature 2 says 'coordinates' twice and differently; delete one" in refusal(twice)
    assert len(read(written(tmp_path, text.replace(once, f"{once}, {once}")))) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '{"type": "FeatureCollection", "features": [{"type": "Fea',
            ", line 1: the file is cut sh",
        ),
        (
            '{"type": "FeatureCollection",\n "features": [}]}',
            ", line 2: the file is no JSON (Expect",
        ),
        ("", " is empty; copy it again, or delete it if its image is not annotated"),
        (" \n", " is empty"),
        ("{}", " holds no list of GeoJSON features; export the objects from QuPath as GeoJSON"),
        ('{"type": "FeatureCollection"}', " holds no list of GeoJSON features"),
        ('"text"', " holds no list of GeoJSON features"),
        ("[1]", ", feature 1 is no GeoJSON object"),
        ("[[]]", ", feature 1 is no GeoJSON object"),
        ('[{"type": "Feature", "properties": [1]}]', ", feature 1: its properties are no JSON"),
        ("[" * 100_000 + "]" * 100_000, " nests too deeply to be annotations; export it again"),
        ("[" + "9" * 5000 + "]", " has a number of thousands of digits; export it again"),
        ('{"a":' * 100_000, " nests too deeply"),
    ],
    ids=lambda text: text[:20],
)
def test_a_file_that_is_no_geojson(tmp_path, text, says):
    assert says in refusal(written(tmp_path, text))


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"classification": 7}, ", feature 1: its classification has no name; export the file ag"),
        ({"classification": {"name": [1]}}, ", feature 1: its classification has no name"),
        ({"classification": {"name": "\ud83d"}}, ", feature 1: its class '\\ud83d' has half of a"),
    ],
)
def test_a_class_that_is_none(tmp_path, properties, says):
    path = written(tmp_path, [{**point(1, 1), "properties": properties}])
    assert says in refusal(path)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)
def test_encodings(tmp_path, encoding):
    """Marks are respected, old Windows is understood, UTF-16 without a mark is refused."""
    text = json.dumps([feature("Point", [1, 1], "Drüse")], ensure_ascii=False)
    path = tmp_path / "a.geojson"
    path.write_bytes(text.encode(encoding))
    if encoding in ("utf-16-le", "utf-16-be"):
        assert refusal(path) == " is no text in UTF-8; save it as UTF-8."
    else:
        assert read(path).classes == ("Drüse",)


def test_two_gigabytes_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "a.geojson"
    with path.open("wb") as file:
        file.truncate(2 * 2**30)  # takes no space on the disk
    begun = time.perf_counter()
    sentence = refusal(path)
    assert time.perf_counter() - begun < 1
    assert (
        f"is 2,048 MB, more than the {LARGEST_BYTES // 2**20} MB that are read as labels"
        in sentence
    )
    assert "export only what lies in labelled regions" in sentence


def test_compressed_files_are_refused_and_never_unpacked(tmp_path):
    path = tmp_path / "a.geojson"
    bomb = b"[" + b" " * 50_000_000 + b"]"
    path.write_bytes(gzip.compress(bomb, compresslevel=9))
    assert refusal(path) == " is compressed; unpack it, and give the file inside."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.geojson", bomb)
    assert refusal(path) == " is compressed; unpack it, and give the file inside."


ODD = [None, True, -1, 1e308, "", "x", [], {}, [[]], [1, 2], {"type": "Point"}, "Labelled region"]


def with_odd_values(document, random):
    """One or two values anywhere in the document replaced by something else, or left out."""
    document = deepcopy(document)
    for _ in range(random.randint(1, 2)):
        holder, node = None, document
        while isinstance(node, (dict, list)) and node and random.random() < 0.85:
            holder = node
            key = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
            node = node[key]
        if holder is None:
            continue
        if random.random() < 0.2:
            del holder[key]
        else:
            holder[key] = deepcopy(random.choice(ODD))
    return json.dumps(document).encode()


def with_odd_bytes(document, random):
    """A few bytes flipped, exchanged, cut out, doubled, or the end cut off."""
    data = bytearray(json.dumps(document, ensure_ascii=False).encode())
    for _ in range(random.choice([1, 1, 2, 4])):
        at = random.randrange(len(data))
        match random.randrange(5):
            case 0:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at] = random.choice(b'0123456789.-eE"[]{},:nultrfasNI \x00\xff')
            case 2:
                del data[at : at + random.randint(1, 12)]
            case 3:
                data[at:at] = data[at : at + random.randint(1, 40)]
            case _ if random.random() < 0.2:
                del data[max(at, 1) :]
    return bytes(data)


def test_damaged_exports_give_labels_or_one_sentence(tmp_path):
    """A few seconds; a minute with TRANSFER_KIT_FUZZ_SECONDS=60."""
    makers = list(EXPORTS.values())
    path, until = tmp_path / "a.geojson", time.monotonic() + FUZZ_SECONDS
    tried = refused = 0
    while time.monotonic() < until:
        random = Random(tried)
        damage = random.choice([with_odd_bytes, with_odd_values])
        data = damage(makers[tried % len(makers)](), random)
        path.write_bytes(data)
        try:
            annotation = read(path)
            origins = origins_of(annotation)
            write_geojson(tmp_path / "again.geojson", annotation)
        except UserError as error:
            refused += str(path) in str(error)
        except Exception as error:
            raise AssertionError(f"try {tried}: {data!r}") from error
        else:
            assert np.isfinite(annotation.points).all()
            assert len(origins) == len(annotation)
        tried += 1
    assert 0 < refused < tried
