"""`transfer-kit data show --stain`."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_folders import write_folder
from laboratory import transfer_kit
from PIL import Image

SIDE, GAP, CAPTION, TITLE = 200, 6, 20, 28


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSFER_KIT_DATA", "")
    monkeypatch.chdir(tmp_path)
    return write_folder(tmp_path / "tiny", cases=3, per_case=1)


def panes(path, rows, columns):
    sheet = np.asarray(Image.open(path))
    return [
        [
            sheet[top : top + 96, left : left + 96]
            for left in range(GAP, columns * (SIDE + GAP), SIDE + GAP)
        ]
        for top in range(TITLE, TITLE + rows * (SIDE + CAPTION + GAP), SIDE + CAPTION + GAP)
    ]


@pytest.mark.parametrize("kind", ["hed", "jitter", "randstainna", "hestain"])
def test_each_image_stands_beside_five_that_were_augmented(folder, kind):
    said = transfer_kit("data", "show", folder, "--stain", kind, "--json").json
    assert said["sheet"] == f"tiny-{kind}.png"
    for row in panes(said["sheet"], 3, 6):
        assert len({pane.tobytes() for pane in row}) == 6


@pytest.mark.parametrize("kind", ["macenko", "vahadane", "reinhard"])
def test_each_image_stands_beside_its_normalised_self(folder, kind, tmp_path):
    transfer_kit("data", "show", folder, "--stain", kind, "--sheet", "page.png")
    assert Image.open(tmp_path / "page.png").width == 2 * (SIDE + GAP) + GAP


def test_the_strengths_are_those_of_a_recipe(folder):
    weak = ("--set", "stain.factor=0", "--set", "stain.offset=0", "--set", "stain.hue_degrees=0")
    transfer_kit("data", "show", folder, "--stain", "jitter", *weak)
    for row in panes("tiny-jitter.png", 3, 6):
        assert np.abs(row[0].astype(int) - row[5]).max() <= 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["jiter"], "There is no stain setting 'jiter'. Did you mean 'jitter'?"),
        (["macenko", "--set", "stain.reference=tnbk"], "Did you mean 'tnbc'?"),
        (["reinhard", "--set", "stain.reference=macenko"], "has no numbers for reinhard"),
        (["jitter", "--set", "stain.factr=1"], "factr"),
    ],
)
def test_what_does_not_exist_is_one_sentence(folder, words, sentence):
    assert sentence in transfer_kit("data", "show", folder, "--stain", *words, code=2).error
