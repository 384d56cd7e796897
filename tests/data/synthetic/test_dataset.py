"""A drawn organ on disk."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import yaml

from transfer_kit.data.card import DatasetCard
from transfer_kit.data.synthetic import draw, make_dataset
from transfer_kit.data.synthetic.dataset import splits
from transfer_kit.errors import UserError


@pytest.fixture(scope="module")
def eye(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "eye"
    steps: list[tuple[int, int]] = []
    make_dataset("eye", folder, cases=4, size=128, progress=lambda *s: steps.append(s))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    return folder


def test_the_folder_holds_an_image_and_a_label_image_a_case_and_a_card(eye):
    names = [f"eye-{case:02d}.png" for case in range(4)]
    assert sorted(p.name for p in (eye / "images").iterdir()) == names
    assert sorted(p.name for p in (eye / "annotations").iterdir()) == names
    assert sorted(p.name for p in eye.iterdir()) == ["annotations", "dataset.yaml", "images"]
    assert [p.name for p in eye.parent.iterdir()] == ["eye"]


def test_files_hold_exactly_what_was_drawn(eye):
    for case in range(4):
        image, annotation = draw("eye", case=case, size=128)
        name = f"eye-{case:02d}.png"
        stored = cv2.imread(str(eye / "images" / name), cv2.IMREAD_UNCHANGED)
        labels = cv2.imread(str(eye / "annotations" / name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(stored[..., ::-1], image)
        assert labels.dtype == np.uint16
        np.testing.assert_array_equal(labels, annotation.instances)


def test_the_card_says_that_it_is_synthetic_and_is_a_valid_one(eye):
    card = DatasetCard.read(eye / "dataset.yaml")
    assert card.synthetic
    assert "SYNTHETIC" in card.description
    assert "not for clinical conclusions" in card.description
    assert (card.organ, card.stain, card.mpp, card.licence) == ("eye", "H&E", 0.25, "CC0-1.0")
    assert card.format == "instances"
    assert card.splits.lists == {
        "train": ["eye-00", "eye-01"],
        "validation": ["eye-02"],
        "test": ["eye-03"],
    }


def test_the_case_pattern_finds_the_cases_of_the_splits(eye):
    card = yaml.safe_load((eye / "dataset.yaml").read_text(encoding="utf-8"))
    found = {
        re.search(card["case_pattern"], f"images/{p.name}").group(1)
        for p in (eye / "images").iterdir()
    }
    assert found == {case for part in card["splits"].values() for case in part}


def test_twenty_four_cases_are_split_into_twelve_four_and_eight():
    parts = splits("breast", 24)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [12, 4, 8]
    assert len({case for part in parts.values() for case in part}) == 24


def test_an_interrupted_drawing_leaves_what_was_there(eye, tmp_path):
    folder = tmp_path / "eye"
    folder.mkdir()
    (folder / "mine.txt").write_text("kept")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_dataset("eye", folder, cases=3, size=96, progress=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["eye"]
    assert (folder / "mine.txt").read_text() == "kept"


def test_too_few_cases_and_unknown_organs_are_refused(tmp_path):
    with pytest.raises(UserError, match="needs 3 cases or more for its splits, but got cases=2"):
        make_dataset("eye", tmp_path / "x", cases=2)
    with pytest.raises(UserError, match=r"No organ 'eyes' can be drawn\. Did you mean 'eye'\?"):
        make_dataset("eyes", tmp_path / "x")
    assert not (tmp_path / "x").exists()
