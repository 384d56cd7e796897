"""`transfer-kit data add` of labels that come back from QuPath."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from dataset_folders import write_folder
from laboratory import BASE, TARGET, transfer_kit

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import write_geojson
from transfer_kit.stores.datasets import find_dataset

MODEL = "micronet-eye"
pytest_plugins = ["lab_fixtures"]

DESCRIBED = ("--organ", "eye", "--stain", "H&E", "--mpp", 0.25, "--licence", "private")
LISTS = {"train": ["c00"], "validation": ["c01"], "test": ["c02"]}


@pytest.fixture
def my_eye(tmp_path, monkeypatch):
    """`my-eye`, three images and their predictions in `found/`, which are its labels, too."""
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSFER_KIT_DATA", "")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    folder = write_folder(
        tmp_path / "my-eye", cases=3, per_case=1, side=96, name="my-eye", splits=LISTS
    )
    for case in range(3):
        (folder / "annotations" / f"c{case:02d}_0.csv").unlink()
        points = np.float32([[20 + case, 20], [60, 30], [40, 70]])
        found = Annotation(points, ("Tumor", "Tumor", ""))
        for place in ("found", "my-eye/annotations"):
            path = tmp_path / place / f"c{case:02d}_0.geojson"
            write_geojson(path, found, scores=[0.9, 0.8, 0.7], model=MODEL)
    return folder


def corrected(folder, case, *, metadata=True):
    """As a person leaves it in QuPath: the first re-classed, the second deleted, one drawn."""
    path = folder / "annotations" / f"{case}_0.geojson"
    document = json.loads(path.read_text())
    first, _, last = document["features"]
    first["properties"]["classification"] = {"name": "Stroma", "color": [1, 2, 3]}
    drawn = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [80.5, 80.5]},
        "properties": {"objectType": "annotation"},
    }
    document["features"] = [first, last, drawn]
    if not metadata:  # QuPath 0.4 keeps none of detections
        for feature in document["features"]:
            feature["properties"].pop("metadata", None)
    path.write_text(json.dumps(document))


def test_what_comes_back_from_qupath_is_told_by_origin(my_eye):
    corrected(my_eye, "c00")
    said = transfer_kit("data", "add", "my-eye")
    assert (
        "Labels: 1 by a person, 7 unchanged detections of micronet-eye, 1 corrected detection of "
        "micronet-eye.\n"
    ) in said.out
    told = transfer_kit("data", "add", "my-eye", "--json").json
    assert told["origins"] == {
        "person": 1,
        f"model: {MODEL}": 7,
        f"corrected: {MODEL}": 1,
    }
    assert "deleted" not in told


@pytest.mark.parametrize("metadata", [True, False])
def test_beside_the_predictions_the_deleted_are_told_too(my_eye, metadata):
    corrected(my_eye, "c00", metadata=metadata)
    said = transfer_kit("data", "add", "my-eye", "--predicted", "found")
    assert (
        "Labels: 1 by a person, 7 unchanged detections of micronet-eye, 1 corrected detection of "
        "micronet-eye; 1 detection deleted.\n"
    ) in said.out
    annotation = next(s for s in find_dataset("my-eye") if s.id == "c00_0").annotation()
    noted = [properties["origin"] for properties in annotation.properties]
    assert noted == [f"corrected: {MODEL}", f"model: {MODEL}", "person"]


def test_show_says_whose_the_labels_are(my_eye):
    corrected(my_eye, "c00", metadata=False)
    transfer_kit("data", "add", "my-eye", "--predicted", "found")
    document = transfer_kit("data", "show", "my-eye", "--json").json
    assert document["origins"] == {"person": 1, f"model: {MODEL}": 7, f"corrected: {MODEL}": 1}
    shown = transfer_kit("data", "show", "my-eye").out
    assert "1 by a person, 7 unchanged detections of micronet-eye" in shown


def test_labels_that_cannot_tell_are_a_person_s(my_eye, tmp_path):
    write_folder(tmp_path / "points", cases=3, per_case=1, side=96, seed=1, name="points")
    told = transfer_kit("data", "add", "points", "--json").json
    assert "origins" not in told
    assert "Labels:" not in transfer_kit("data", "add", "points").out
    assert list(transfer_kit("data", "show", "points", "--json").json["origins"]) == ["person"]


def test_a_damaged_label_file_is_a_note_and_the_dataset_is_known(my_eye):
    (my_eye / "annotations" / "c00_0.geojson").write_text("{")
    said = transfer_kit("data", "add", "my-eye")
    assert "c00_0.geojson, line 1: the file is cut short; export it again." in said.out
    assert len(find_dataset("my-eye")) == 3


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("nowhere", "nowhere is no folder; check --predicted."),
        (
            "empty",
            "empty holds no prediction of an image of my-eye, such as c00_0.geojson; give the "
            "folder that 'transfer-kit predict' wrote.",
        ),
    ],
)
def test_predictions_that_are_not_there(my_eye, tmp_path, folder, sentence):
    (tmp_path / "empty").mkdir()
    said = transfer_kit("data", "add", "my-eye", "--predicted", folder, code=2)
    assert said.error == sentence


def test_a_corrected_test_image_cannot_come_in_by_another_name(my_eye, tmp_path):
    transfer_kit("data", "add", "my-eye")
    second = tmp_path / "my-eye-2"
    for part in ("images", "annotations"):
        (second / part).mkdir(parents=True)
    for case, name in (("c00", "a"), ("c01", "b"), ("c02", "c")):
        shutil.copy(my_eye / "images" / f"{case}_0.png", second / "images" / f"{name}.png")
        shutil.copy(
            my_eye / "annotations" / f"{case}_0.geojson", second / "annotations" / f"{name}.geojson"
        )
    words = ("data", "add", "my-eye-2", *DESCRIBED)
    dealt = transfer_kit(*words, "--test-case", "b", code=2).error
    assert dealt.startswith("my-eye-2 would learn from case c, which must stay in the test: ")
    assert dealt.endswith("on which my-eye is tested; add --test-case c, or leave it out.")
    assert not (second / "dataset.yaml").exists()
    transfer_kit(*words, "--test-case", "c")
    assert find_dataset("my-eye-2").split("test").cases == ("c",)


def test_what_stays_in_the_test_is_said(my_eye):
    """Dealt anew, c02 would be the test, and c00 be learned from."""
    transfer_kit("data", "add", "my-eye")
    split = ("--train-case", "c02", "--validation-case", "c01", "--test-case", "c00")
    transfer_kit("data", "split", "my-eye", *split)
    said = transfer_kit(
        "data", "add", "my-eye", *DESCRIBED, "--case-pattern", r"(c\d+)_", "--replace"
    )
    assert "Case c00 stays in the test: my-eye is tested on it.\n" in said.out
    after = find_dataset("my-eye").assignment
    assert after == {"c02": "train", "c01": "validation", "c00": "test"}


def test_what_predict_writes_is_known_again_when_it_comes_back(lab):
    """Predicted, one detection deleted and one drawn, added: no label loses who made it."""
    images = f"{TARGET}/images"
    transfer_kit("predict", "--model", BASE, "--mpp", 0.25, "--threshold", 0, "-o", "found", images)
    left = 0
    for path in sorted((lab / "found").glob("*.geojson")):
        document = json.loads(path.read_text())
        _, *features = document["features"]
        left += len(features)
        drawn = {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [3.25, 3.5]},
            "properties": {"objectType": "annotation"},
        }
        (lab / TARGET / "annotations" / f"{path.stem}.csv").unlink()
        labels = lab / TARGET / "annotations" / path.name
        labels.write_text(json.dumps({**document, "features": [*features, drawn]}))
    told = transfer_kit("data", "add", TARGET, "--json").json
    assert told["origins"] == {"person": 16, "model: tiny-breast": left}
    compared = transfer_kit("data", "add", TARGET, "--predicted", "found", "--json").json
    near = compared["origins"].pop("corrected: tiny-breast", 0)  # drawn beside a deleted one
    assert compared["origins"] == {"person": 16 - near, "model: tiny-breast": left}
    assert (compared["compared"], compared["deleted"]) == (16, 16 - near)
    assert near < 5


def test_images_that_wait_for_their_labels_are_told_and_can_be_left_out(my_eye):
    (my_eye / "dataset.yaml").unlink()
    (my_eye / "annotations" / "c02_0.geojson").unlink()
    said = transfer_kit("data", "add", "my-eye", *DESCRIBED, "--json").json
    assert any("Annotate the other image before training" in note for note in said["notes"])
    assert len(find_dataset("my-eye")) == 3
    again = ("--replace", "--only-annotated", "--json")
    said = transfer_kit("data", "add", "my-eye", *DESCRIBED, *again).json
    assert not any("Annotate the other" in note for note in said["notes"])
    assert {sample.case for sample in find_dataset("my-eye")} == {"c00_0", "c01_0"}
