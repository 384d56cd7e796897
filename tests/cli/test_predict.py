from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from laboratory import TARGET, listing, transfer_kit
from PIL import Image

import transfer_kit as tk
from transfer_kit.data.images import read_image
from transfer_kit.stores.datasets import find_dataset

pytest_plugins = ["lab_fixtures"]


@pytest.fixture
def detector(lab, finished):
    """A detector that finds nuclei, in a lab of its own."""
    shutil.copy(finished.run / "detector.safetensors", lab / "trained.safetensors")
    monkey = pytest.MonkeyPatch()
    monkey.chdir(lab)
    monkey.setenv("TRANSFER_KIT_HOME", str(lab / "home"))
    yield "trained.safetensors"
    monkey.undo()


def predict(model, *words, code=0):
    return transfer_kit("predict", "--model", model, *words, code=code)


def test_a_folder_gives_geojson_csv_and_an_overlay_for_each_image(lab, detector):
    document = predict(detector, f"{TARGET}/images", "--mpp", 0.25, "-o", "out", "--json").json
    assert document["model"].startswith("base-to-eye-lab")
    assert len(document["images"]) == 16
    for row in document["images"]:
        assert row["skipped"] is None
        assert row["mpp"] == 0.25
        csv = next(file for file in row["files"] if file.endswith(".csv"))
        assert len(pd.read_csv(csv)) == row["n_nuclei"] > 0
    names = [f"c{case:02d}_{k}" for case in range(8) for k in range(2)]
    suffixes = (".geojson", ".csv", "-overlay.png", "-summary.json")
    assert set(listing(lab / "out")) == {
        *(f"{name}{suffix}" for name in names for suffix in suffixes),
        *("records", *(f"records/{name}.json" for name in names)),
    }


def test_the_files_hold_what_the_detector_finds_in_pixels_of_the_image(lab, detector):
    image = f"{TARGET}/images/c00_0.png"
    predict(detector, image, "--mpp", 0.25, "-o", "out")
    found = tk.load(detector).predict(read_image(image), mpp=0.25)
    found = found.take(np.lexsort(found.points.T))
    table = pd.read_csv("out/c00_0.csv")
    assert np.allclose(table[["x", "y"]], found.points)
    assert np.allclose(table[["x_um", "y_um"]], found.points * 0.25)
    assert np.allclose(table["score"], found.scores, atol=1e-5)
    overlay = np.asarray(Image.open("out/c00_0-overlay.png").convert("RGB"))
    assert overlay.shape[1] >= read_image(image).shape[1]
    assert len(np.unique(overlay.reshape(-1, 3), axis=0)) > 1


def test_geojson_read_back_as_a_dataset_gives_the_same_points(lab, detector):
    predict(detector, f"{TARGET}/images", "--mpp", 0.25, "-o", "labelled", "--no-overlays")
    for image in (lab / TARGET / "images").iterdir():
        shutil.copy(image, "labelled")
    for table in (lab / "labelled").glob("*.csv"):
        table.rename(lab / table.name)
    words = ("--organ", "eye", "--stain", "H&E", "--mpp", 0.25, "--licence", "private")
    added = transfer_kit("data", "add", "labelled", "--name", "again", *words, "--json").json
    assert added["name"] == "again"
    dataset = find_dataset("again")
    assert len(dataset) == 16
    for sample in dataset:
        written = pd.read_csv(lab / f"{sample.image_path.stem}.csv")
        points = sample.annotation().points
        assert np.array_equal(points, written[["x", "y"]].to_numpy(np.float32))


def test_geojson_is_what_qupath_reads(lab, detector):
    predict(detector, f"{TARGET}/images/c00_0.png", "--mpp", 0.25, "-o", "out")
    document = json.loads((lab / "out" / "c00_0.geojson").read_text())
    assert document["type"] == "FeatureCollection"
    for feature in document["features"]:
        assert feature["type"] == "Feature"
        assert feature["geometry"]["type"] == "Point"
        assert feature["properties"]["objectType"] in ("annotation", "detection")
        assert feature["properties"]["measurements"]


def test_the_threshold_can_be_chosen(lab, detector):
    image = f"{TARGET}/images/c00_0.png"
    scores = tk.load(detector).candidates(read_image(image), mpp=0.25).scores
    for threshold in (0.0, float(np.median(scores)), 0.99):
        words = (image, "--mpp", 0.25, "-o", "out", "--threshold", threshold, "--json")
        (row,) = predict(detector, *words).json["images"]
        assert row["n_nuclei"] == (scores >= threshold).sum()


def test_runtime_and_precision_are_chosen_and_stand_in_the_record(lab, detector):
    pytest.importorskip("openvino", reason="openvino, of an extra, is not installed")
    words = (f"{TARGET}/images/c00_0.png", "--mpp", 0.25, "-o", "out", "--json")
    (by_torch,) = predict(detector, *words).json["images"]
    assert made_by() == {"runtime": "torch", "precision": "32-true"}
    (by_other,) = predict(detector, *words, "--runtime", "openvino", "--batch", 2).json["images"]
    assert made_by() == {"runtime": "openvino", "precision": "32-true"}
    assert by_other["n_nuclei"] == by_torch["n_nuclei"] > 0
    predict(detector, *words, "--precision", "bf16-mixed")
    assert made_by() == {"runtime": "torch", "precision": "bf16-mixed"}


def made_by():
    """How the network was run, by the record."""
    told = json.loads(Path("out/records/c00_0.json").read_text())["made_by"]
    return {name: told[name] for name in ("runtime", "precision")}


def test_a_runtime_and_a_precision_that_do_not_go_together_are_refused(lab, detector):
    words = ("--mpp", 0.25, "-o", "out", "--runtime", "onnx", "--precision", "bf16-mixed")
    said = predict(detector, f"{TARGET}/images/c00_0.png", *words, code=2).error
    assert said.startswith("--runtime onnx computes in 32 bits alone, but the precision is bf16-m")
    assert not (lab / "out").exists()


def test_the_scale_is_read_from_the_file_where_it_says_it(lab, detector):
    path = lab / "scaled.png"
    Image.open(lab / TARGET / "images" / "c00_0.png").save(path, dpi=(25400 / 0.25, 25400 / 0.25))
    (row,) = predict(detector, path, "-o", "out", "--json").json["images"]
    assert row["mpp"] == pytest.approx(0.25, rel=1e-3)


def test_a_scale_that_nothing_tells_is_asked_for_before_anything_is_written(lab, detector):
    said = predict(detector, f"{TARGET}/images", "-o", "out", code=2).error
    assert "c00_0.png does not say its scale; add --mpp with its µm per pixel" in said
    assert not (lab / "out").exists()


@pytest.fixture
def with_a_bad_one(lab):
    """A folder of three images, of which the second is cut short after its header."""
    folder = lab / "slides"
    folder.mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(lab / TARGET / "images" / "c00_0.png", folder / f"{name}.png")
    bad = folder / "b.png"
    bad.write_bytes(bad.read_bytes()[:2000])
    return folder


def test_a_corrupt_image_stops_with_its_name_and_leaves_only_whole_files(
    lab, detector, with_a_bad_one
):
    said = predict(detector, with_a_bad_one, "--mpp", 0.25, "-o", "out", code=2).error
    assert "slides/b.png is damaged or cut short" in said
    assert set(listing(lab / "out")) == {
        *("a.csv", "a.geojson", "a-overlay.png", "a-summary.json", "records", "records/a.json")
    }
    assert len(pd.read_csv("out/a.csv")) > 0


def test_what_is_no_image_at_all_stops_before_anything_is_written(lab, detector, with_a_bad_one):
    (with_a_bad_one / "c.png").write_text("not an image")
    said = predict(detector, with_a_bad_one, "--mpp", 0.25, "-o", "out", code=2).error
    assert "slides/c.png is no slide or image of a kind that is known, or it is damaged" in said
    assert not (lab / "out").exists()


def test_a_corrupt_image_is_listed_and_skipped_where_the_user_said_so(
    lab, detector, with_a_bad_one
):
    words = (with_a_bad_one, "--mpp", 0.25, "-o", "out", "--skip-bad")
    rows = predict(detector, *words, "--json").json["images"]
    assert [row["n_nuclei"] is None for row in rows] == [False, True, False]
    assert "slides/b.png is damaged or cut short" in rows[1]["skipped"]
    assert not [name for name in listing(lab / "out") if name.startswith("b")]
    assert "cut short" in json.loads((lab / "out/records/b.json").read_text())["reason"]
    table = predict(detector, *words).out
    assert "skipped" in table
    assert "damaged or cut short" in table


def test_a_full_disk_is_not_skipped(lab, detector, with_a_bad_one, full_disk):
    full_disk("pyarrow.csv.CSVWriter")
    words = (with_a_bad_one / "a.png", "--mpp", 0.25, "-o", "out", "--skip-bad")
    said = predict(detector, *words, code=2).error
    assert said.startswith("No space is left to write out/a.csv")


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (["nowhere.png"], "nowhere.png does not exist; check the path."),
        (
            ["empty"],
            "empty holds no slide or image (.bif, .bmp, .czi, .jpeg, .jpg, .mrxs, .ndpi, .png, "
            ".scn, .svs, .svslide, .tif, .tiff, .vms, .vmu, a Zarr or DICOM folder); check the "
            "folder.",
        ),
        (
            [f"{TARGET}/images/c00_0.png", "other/c00_0.png"],
            f"{TARGET}/images/c00_0.png and other/c00_0.png are both called c00_0 and would write "
            "the same files; give them apart, each with its own output folder.",
        ),
    ],
)
def test_images_that_cannot_be_meant_are_refused(lab, detector, images, said):
    (lab / "empty").mkdir()
    (lab / "other").mkdir()
    shutil.copy(lab / TARGET / "images" / "c00_0.png", "other")
    assert predict(detector, *images, "--mpp", 0.25, "-o", "out", code=2).error == said
    assert not (lab / "out").exists()


def test_an_output_that_is_a_file_is_refused(lab, detector):
    (lab / "out").write_text("mine")
    said = predict(detector, f"{TARGET}/images/c00_0.png", "--mpp", 0.25, "-o", "out", code=2).error
    assert "out is a file, not a folder" in said
    assert (lab / "out").read_text() == "mine"
