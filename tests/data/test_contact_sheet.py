from __future__ import annotations

import numpy as np
from dataset_folders import write_folder
from PIL import Image

from transfer_kit.data.contact_sheet import contact_sheet
from transfer_kit.data.dataset import Dataset


def test_the_sheet_shows_every_image_with_its_nuclei(tmp_path):
    dataset = Dataset.open(write_folder(tmp_path / "tiny", cases=3, per_case=2))
    sheet = np.asarray(Image.open(contact_sheet(dataset, tmp_path / "sheet.png", columns=3)))
    assert sheet.shape == (30 + 2 * (320 + 34 + 8) + 8, 3 * 328 + 8, 3)
    nuclei_colour = (sheet == (0, 0xE0, 0xFF)).all(axis=2)
    for row in range(2):
        for column in range(3):
            top, left = 30 + row * 362, 8 + column * 328
            assert nuclei_colour[top : top + 320, left : left + 320].sum() > 100


def test_what_cannot_be_read_is_grey_and_the_sheet_is_made_all_the_same(tmp_path):
    folder = write_folder(tmp_path / "tiny", cases=3, per_case=1)
    (folder / "images" / "c00_0.png").write_bytes(b"no image")
    (folder / "annotations" / "c01_0.csv").write_text("x,y\nbanana,1\n")
    sheet = np.asarray(Image.open(contact_sheet(Dataset.open(folder), tmp_path / "s.png", 3)))
    assert (sheet[100, 100] == 0xDD).all()
