from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from laboratory import BASE, TARGET, listing, transfer_kit

from transfer_kit.data.formats import AnnotationSource, ImageInfo, read_annotation
from transfer_kit.data.regions import labelled_mask
from transfer_kit.detector import Detector
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.suggesting import suggest

pytest_plugins = ["lab_fixtures"]

WORDS = ("suggest", "--model", BASE, "--images", TARGET, "--region-um", 20, "--device", "cpu")


@pytest.fixture
def few(lab):
    """The target with labels of two images only, one of them a test image."""
    target = find_dataset(TARGET)
    labelled = {target.split(part).samples[0].id for part in ("train", "test")}
    for sample in target:
        if sample.id not in labelled:
            sample.source.paths[0].unlink()
    return lab


def test_the_proposed_regions_are_those_of_python_and_of_the_files(few):
    document = transfer_kit(*WORDS, "-n", 2, "--out", "out", "--json").json
    target = find_dataset(TARGET)
    free = [s for s in target if target.split_of(s) != "test" and s.source is None]
    covered = [s for s in target if target.split_of(s) != "test" and s.source is not None]
    assert document["model"] == "tiny-breast"
    counts = [document[name] for name in ("n_unlabelled", "n_labelled", "n_test")]
    assert counts == [len(free), len(covered), 4] == [11, 1, 4]
    expected = suggest(Detector.load(BASE), free, 2, covered=covered, region_um=20, device="cpu")
    for row, one in zip(document["regions"], expected, strict=True):
        (region,) = one.regions
        assert Path(row["image"]) == one.sample.image_path
        assert [row[side] for side in ("x", "y", "width", "height")] == list(region.window)
        assert (row["uncertainty"], row["distance"]) == (region.uncertainty, region.distance)
        path = few / "out" / row["geojson"]
        info = ImageInfo.of(one.sample.image_path)
        annotation = read_annotation(AnnotationSource("geojson", (path,)), info)
        mask = labelled_mask(annotation, (info.height, info.width))
        x0, y0, width, height = region.window
        assert mask[y0 : y0 + height, x0 : x0 + width].all()
        assert np.count_nonzero(mask) == width * height
    assert all(Path(file).is_file() for file in document["files"])
    assert {Path(file).name for file in document["files"]} >= {
        "suggestions.png",
        "suggestions.csv",
    }


def test_the_table_names_images_places_and_what_was_left_out(few):
    said = transfer_kit(*WORDS, "-n", 2).out
    document = transfer_kit(*WORDS, "-n", 2, "--json").json
    for row in document["regions"]:
        line = next(line for line in said.splitlines() if Path(row["image"]).name in line)
        assert f"{row['x']}, {row['y']}" in line
        assert f"{row['uncertainty']:,.0f}" in line
    assert "Chosen from 11 images without labels." in said
    assert "4 images of test cases: left out." in said
    assert said.splitlines()[-1] == "In suggested"


def test_where_there_is_no_room_for_all_regions_it_is_said(few):
    words = ("suggest", "--model", BASE, "--images", TARGET, "-n", 1, "--regions-per-image", 3)
    assert "2 regions fewer than asked for: no room." in transfer_kit(*words).out


def test_the_test_images_are_not_looked_at(few):
    for sample in find_dataset(TARGET).split("test"):
        sample.image_path.write_bytes(b"")
    transfer_kit(*WORDS, "-n", 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-n", 12), "12 images to label were asked for, but there are only 11 without labels"),
        (("--model", "brest"), "no base organ or model 'brest'"),
        (("--images", "nowhere"), "There is no organ, dataset or folder 'nowhere'"),
        (("--device", "abacus"), "The device 'abacus' cannot be used"),
        (("--mpp", 0.5), "leave out --mpp"),
        (("--region-um", 5), "A region 5 µm wide holds hardly a nucleus; ask for 20 µm or more"),
    ],
)
def test_what_cannot_be_suggested_is_told_in_a_sentence_and_nothing_is_written(few, words, message):
    before = listing(few)
    assert message in transfer_kit(*WORDS, *words, code=2).error
    assert listing(few) == before


def test_a_damaged_image_is_named(few):
    (sample, *_) = (s for s in find_dataset(TARGET).split("train") if s.source is None)
    sample.image_path.write_bytes(b"")
    error = transfer_kit(*WORDS, "-n", 1, code=2).error
    assert f"{sample.image_path.name} is empty" in error
    assert not (few / "suggested").exists()
