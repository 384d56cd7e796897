from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from transfer_kit.data.tiles import Window
from transfer_kit.errors import UserError
from transfer_kit.inference.region_sheet import SheetRegion, picture_of, region_sheet

SIDE = 360
FRAME, DOUBT, GREY = (255, 224, 0), (0, 224, 255), (221, 221, 221)


def drawn(window, *marked, size=(200, 300)):
    image = np.full((*size, 3), (200, 120, 160), np.uint8)
    points = np.array(marked, np.float32).reshape(-1, 2)
    return SheetRegion(("1 image", "100 × 100 µm"), image, window, points, 0.5)


def where(picture, colour):
    rows, columns = np.nonzero((np.asarray(picture) == colour).all(axis=2))
    return columns, rows


def test_the_frame_lies_around_the_region_and_a_quarter_of_its_side_around_that():
    picture = picture_of(drawn(Window(100, 60, 80, 80)))
    assert picture.size == (SIDE, SIDE)
    columns, rows = where(picture, FRAME)
    # 80 px of 120: from 20/120 to 100/120 of the picture.
    for ends in (columns, rows):
        assert ends.min() == pytest.approx(SIDE / 6, abs=1)
        assert ends.max() == pytest.approx(SIDE * 5 / 6 - 1, abs=1)
    assert len(where(picture, GREY)[0]) == 0


def test_what_lies_outside_the_image_is_grey():
    picture = picture_of(drawn(Window(0, 120, 80, 80)))
    columns, rows = where(picture, GREY)
    outside = (np.arange(SIDE) < SIDE / 6)[None, :] | (np.arange(SIDE) >= SIDE * 5 / 6)[:, None]
    assert len(columns) == pytest.approx(outside.sum(), rel=0.07)  # the bar lies in it
    assert outside[rows, columns].mean() > 0.98


def test_a_place_in_doubt_is_circled():
    picture = picture_of(drawn(Window(100, 60, 80, 80), (139.5, 99.5)))
    columns, rows = where(picture, DOUBT)
    assert columns.mean() == pytest.approx(SIDE / 2, abs=1)
    assert rows.mean() == pytest.approx(SIDE / 2, abs=1)
    radius_px = np.hypot(columns - columns.mean(), rows - rows.mean()).max()
    assert radius_px == pytest.approx(3 / 0.5 * SIDE / 120, abs=2)  # 3 µm


def test_a_narrow_region_is_not_stretched():
    columns, rows = where(picture_of(drawn(Window(100, 60, 40, 80))), FRAME)
    assert np.ptp(rows) == pytest.approx(2 * np.ptp(columns), rel=0.05)


def test_the_sheet_has_a_cell_a_region_five_in_a_row(tmp_path):
    regions = [drawn(Window(100, 60, 80, 80))] * 7
    with Image.open(region_sheet(regions, tmp_path / "deep" / "sheet.png")) as sheet:
        assert sheet.size == (5 * 370 + 10, 2 * (360 + 34 + 10) + 10)
        frames = where(sheet, FRAME)
    one = len(where(picture_of(regions[0]), FRAME)[0])
    assert len(frames[0]) == 7 * one


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        region_sheet([drawn(Window(0, 0, 40, 40))], tmp_path / "file" / "sheet.png")
