from __future__ import annotations

import importlib

import numpy as np
import pytest
import shapely

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import write_geojson
from transfer_kit.errors import UserError
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outputs import write_csv
from transfer_kit.viewer.found_files import pair_found, read_found


def test_csv_of_predict_is_read(tmp_path):
    points = np.array([[1.5, 2.25], [30, 40]], np.float32)
    scores, kinds = np.array([0.5, 0.125], np.float32), np.array([0, 1], np.uint16)
    nuclei = FoundNuclei(points, scores, kinds, ("tumour", ""))
    searched = shapely.MultiPolygon([shapely.box(0, 0, 50, 50)])
    facts = SlideFacts("a.svs", (50, 50), 0.5, searched, "micronet-eye", 0.1, 3.5)
    write_csv(tmp_path / "a.csv", nuclei, facts)
    found = read_found(tmp_path / "a.csv").nuclei
    np.testing.assert_array_equal(found.points, points)
    assert found.scores.tolist() == [0.5, 0.125]
    assert [found.classes[kind] for kind in found.kinds] == ["tumour", ""]


@pytest.mark.parametrize("outlined", [True, False])
def test_geoparquet_is_read_with_what_it_says_of_the_detector(tmp_path, outlined):
    parquet = importlib.import_module("transfer_kit.inference.outputs.parquet")
    points = np.array([[1.5, 2.25], [30, 40]], np.float32)
    outlines = np.array([shapely.box(0, 0, 3, 3), None]) if outlined else None
    found = FoundNuclei(
        points, np.array([0.5, 0.25], np.float32), np.array([1, 0], np.uint16), ("a", "b"), outlines
    )
    searched = shapely.MultiPolygon([shapely.box(0, 0, 50, 50)])
    facts = SlideFacts("a.svs", (50, 50), 0.25, searched, "micronet-eye", 0.2, 3.5)
    parquet.write_parquet(tmp_path / "a.parquet", found, facts)
    read = read_found(tmp_path / "a.parquet")
    assert (read.model, read.radius_um) == ("micronet-eye", 3.5)
    np.testing.assert_array_equal(read.nuclei.points, points)
    assert [read.nuclei.classes[kind] for kind in read.nuclei.kinds] == ["b", "a"]
    if outlined:
        assert read.nuclei.outlines[0].equals(outlines[0])
        assert read.nuclei.outlines[1] is None
    else:
        assert read.nuclei.outlines is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read as CSV"),
        ("a,b\n1,2\n", "no columns x and y"),
        ("x,y\n1,two\n", "something else than numbers"),
        ("x,y\n1,\n", "a row with a missing number"),
        ("x,y,score\n1,2,\n", "a row with a missing number"),
    ],
)
def test_a_damaged_table_is_told(tmp_path, text, words):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        read_found(path)


@pytest.mark.parametrize("name", ["a.parquet", "a.txt"])
def test_another_file_is_told(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cannot be read as Parquet|no file of detections"):
        read_found(tmp_path / name)


def test_files_are_paired_by_the_names_of_their_images(tmp_path):
    images = [tmp_path / name for name in ("a.svs", "b.ome.tiff", "c.png", "d.png")]
    for name in ("a.csv", "a.geojson", "b.geojson", "c.png.geojson"):
        write_geojson(tmp_path / name, Annotation.of_points([[1, 2]]))
    found = pair_found(tmp_path, images)
    assert {image.name: file.name for image, file in found.items()} == {
        "a.svs": "a.geojson",
        "b.ome.tiff": "b.geojson",
        "c.png": "c.png.geojson",
    }
    assert pair_found(tmp_path / "a.csv", images[:1]) == {images[0]: tmp_path / "a.csv"}


def test_what_cannot_be_paired_is_told(tmp_path):
    images = [tmp_path / "a.png", tmp_path / "b.png"]
    (tmp_path / "one.csv").write_text("x,y\n")
    with pytest.raises(UserError, match=r"one file, but 2 images were opened"):
        pair_found(tmp_path / "one.csv", images)
    with pytest.raises(UserError, match="holds no detections of these images"):
        pair_found(tmp_path, images)
    with pytest.raises(UserError, match="does not exist"):
        pair_found(tmp_path / "none", images)
