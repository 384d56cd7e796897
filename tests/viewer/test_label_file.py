from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import shapely

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import AnnotationSource, ImageInfo, write_csv, write_geojson
from transfer_kit.errors import UserError
from transfer_kit.viewer.label_file import NOTHING, LabelFile, why_not_writable
from transfer_kit.viewer.refusal import Refused

pytest_plugins = ["lab_fixtures"]

LABELS = Annotation(
    np.array([[10, 20], [30.5, 40.25]], np.float32),
    ("tumour", ""),
    labelled_regions=(shapely.box(0, 0, 60, 60),),
    properties=({"objectType": "annotation", "origin": "person"}, {"origin": "model: m"}),
)


@pytest.fixture
def image(tmp_path):
    return ImageInfo("a.png", tmp_path / "a.png", 100, 100)


@pytest.fixture
def file(tmp_path):
    return LabelFile(tmp_path / "annotations" / "a.geojson")


def test_what_is_saved_is_read_again(file, image):
    assert file.read(image) is None
    version = file.save(LABELS, image, version=NOTHING)
    assert version == file.version != NOTHING
    back = file.read(image)
    np.testing.assert_array_equal(back.points, LABELS.points)
    assert back.classes == LABELS.classes
    assert back.labelled_regions[0].equals(LABELS.labelled_regions[0])
    assert [properties["origin"] for properties in back.properties] == ["person", "model: m"]


def test_saving_the_same_twice_gives_the_same_file(file, image):
    version = file.save(LABELS, image, version=NOTHING)
    assert file.save(file.read(image), image, version=version) == version


def test_labels_that_someone_else_changed_meanwhile_are_not_overwritten(file, image):
    old = file.save(LABELS, image, version=NOTHING)
    other = LabelFile(file.path)  # another tab, or QuPath
    new = other.save(replace(LABELS, classes=("x", "y")), image, version=old)
    with pytest.raises(Refused, match=r"a\.geojson was changed elsewhere") as told:
        file.save(LABELS, image, version=old)
    assert told.value.status == 409
    assert file.version == new
    with pytest.raises(Refused):
        file.save(LABELS, image, version=NOTHING)


def test_labels_in_another_format_are_read_and_never_written(tmp_path, image):
    table = tmp_path / "a.csv"
    write_csv(table, LABELS)
    before = table.read_bytes()
    file = LabelFile(tmp_path / "a.geojson", AnnotationSource("csv", (table,)))
    assert len(file.read(image)) == 2
    file.save(replace(LABELS, classes=("x", "y")), image, version=file.version)
    assert table.read_bytes() == before
    assert file.read(image).classes == ("x", "y")


def test_without_any_label_there_is_no_file(file, image):
    version = file.save(LABELS, image, version=NOTHING)
    nothing = Annotation.of_points(np.zeros((0, 2)))
    assert file.save(nothing, image, version=version) == NOTHING
    assert not file.path.exists()


def test_what_qupath_keeps_beside_the_nuclei_stays(file, image):
    core = {
        "type": "Feature",
        "id": "a0000000-0000-4000-8000-000000000001",
        "geometry": shapely.geometry.mapping(shapely.box(1, 1, 90, 90)),
        "properties": {"objectType": "tma_core", "name": "A-1", "isLocked": True},
    }
    write_geojson(file.path, LABELS)
    document = json.loads(file.path.read_text())
    document["features"].append(core)
    file.path.write_text(json.dumps(document))
    file.save(LABELS, image, version=file.version)
    names = [f["properties"].get("name") for f in json.loads(file.path.read_text())["features"]]
    assert names.count("A-1") == 1
    nothing = Annotation.of_points(np.zeros((0, 2)))
    file.save(nothing, image, version=file.version)
    (left,) = json.loads(file.path.read_text())["features"]
    assert left["properties"]["name"] == "A-1"


def test_labels_that_are_not_ours_are_refused(file, image):
    closed = replace(file, read_only="It belongs to the kit.")
    with pytest.raises(Refused, match="belongs to the kit") as told:
        closed.save(LABELS, image, version=NOTHING)
    assert told.value.status == 403
    assert not file.path.exists()


def test_a_full_disk_leaves_what_was_there(file, image, full_disk):
    version = file.save(LABELS, image, version=NOTHING)
    full_disk("pathlib.Path.write_text")
    with pytest.raises(UserError, match="No space is left"):
        file.save(replace(LABELS, classes=("x", "y")), image, version=version)
    assert file.version == version


def test_a_folder_that_may_not_be_written_says_so(tmp_path):
    assert why_not_writable(tmp_path / "annotations" / "a.geojson") == ""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    try:
        told = why_not_writable(closed / "annotations" / "a.geojson")
    finally:
        closed.chmod(0o755)
    assert "cannot be written" in told
