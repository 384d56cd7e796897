"""Regions of images on one page, each in its surroundings, with the places that are in doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from transfer_kit.data.annotation import Points
from transfer_kit.data.tiles import Window
from transfer_kit.files import replacing

_SIDE, _GAP, _LINE, _MOST_COLUMNS = 360, 10, 17, 5
_SURROUNDINGS = 0.25
_OUTSIDE = (221, 221, 221)
# Told apart with any colour vision, on H&E and DAB alike.
_FRAME, _DOUBT = "#ffe000", "#00e0ff"
_BAR_UM = 20


@dataclass(frozen=True, eq=False)
class SheetRegion:
    """One region of the sheet.

    Attributes:
        lines: What stands below it.
        image: uint8 RGB `(H, W, 3)` that it lies in.
        window: Its pixels.
        marked: Places of the image `(N, 2)` to circle, x and y in pixels.
        mpp: µm per pixel.
    """

    lines: tuple[str, ...]
    image: NDArray[np.uint8]
    window: Window
    marked: Points
    mpp: float


def region_sheet(regions: Sequence[SheetRegion], path: str | Path) -> Path:
    """Write a PNG with each region in a yellow frame, and give back its path.

    A quarter of the region's side is shown around it; what lies outside the image is grey. Each
    picture has a bar of 20 µm.

    Raises:
        UserError: the file cannot be written.
    """
    columns = min(len(regions), _MOST_COLUMNS)
    rows = -(-len(regions) // columns)
    below = _LINE * max(len(region.lines) for region in regions)
    width, height = _SIDE + _GAP, _SIDE + below + _GAP
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, region in enumerate(regions):
        left, top = _GAP + number % columns * width, _GAP + number // columns * height
        sheet.paste(picture_of(region), (left, top))
        draw.multiline_text(
            (left, top + _SIDE + 2), "\n".join(region.lines), "black", _font(12), spacing=2
        )
    path = Path(path)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def picture_of(region: SheetRegion) -> Image.Image:
    """A region with its surroundings, drawn on, as a square of the sheet."""
    window = region.window
    longest = max(window.width, window.height)
    side = round(longest * (1 + 2 * _SURROUNDINGS))
    left = window.x0 + (window.width - side) // 2
    top = window.y0 + (window.height - side) // 2
    factor = _SIDE / side
    square = Image.fromarray(_cut_out(region.image, left, top, side))
    square = square.resize((_SIDE, _SIDE), Image.Resampling.BOX if factor < 1 else None)
    draw = ImageDraw.Draw(square)
    radius = max(3.0, 3.0 / region.mpp * factor)
    for x, y in (region.marked - (left, top) + 0.5) * factor:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_DOUBT, width=2)
    x0, y0 = (window.x0 - left) * factor, (window.y0 - top) * factor
    x1, y1 = x0 + window.width * factor - 1, y0 + window.height * factor - 1
    draw.rectangle((x0, y0, x1, y1), outline=_FRAME, width=3)
    bar = _BAR_UM / region.mpp * factor
    draw.line((8, _SIDE - 8, 8 + bar, _SIDE - 8), fill="black", width=4)
    return square


def _cut_out(image: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    """A square of the image, grey where it reaches beyond."""
    cut = np.full((side, side, 3), _OUTSIDE, np.uint8)
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    cut[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return cut


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib; Pillow's own has no µ and no ²."""
    return ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size
    )
