"""Fields of several organs on one page, side by side and all at one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from transfer_kit.data.resampling import resample_image
from transfer_kit.data.sample import Sample
from transfer_kit.files import replacing

_SIDE, _GAP, _LINE, _COLUMNS, _ROWS = 240, 6, 17, 2, 3
_LARGEST_FIELD_UM = 100.0
_BAR_UM = 20


@dataclass(frozen=True)
class SheetColumn:
    """One organ of the sheet: what stands above it, line by line, and its images."""

    lines: tuple[str, ...]
    samples: Sequence[Sample]


def organ_sheet(columns: Sequence[SheetColumn], path: str | Path) -> Path:
    """Write a PNG with up to six fields of each organ, and give back its path.

    A field is the middle of an image, of different cases as far as there are. All fields are
    equally many µm wide, so that sizes and distances of nuclei can be compared by eye.

    Raises:
        UserError: an image is damaged, or the file cannot be written.
    """
    chosen = [_spread_over_cases(column.samples, _COLUMNS * _ROWS) for column in columns]
    sides = [min(sample.size) * sample.mpp for samples in chosen for sample in samples]
    field_um = min([_LARGEST_FIELD_UM, *sides])
    head = _GAP + _LINE * max(len(column.lines) for column in columns)
    width = _COLUMNS * (_SIDE + _GAP) + 2 * _GAP
    height = head + _ROWS * (_SIDE + _GAP) + _LINE + _GAP
    sheet = Image.new("RGB", (width * len(columns), height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (column, samples) in enumerate(zip(columns, chosen, strict=True)):
        left = number * width + _GAP
        text = "\n".join(column.lines)
        draw.multiline_text((left, _GAP), text, "black", _font(13), spacing=2)
        for index, sample in enumerate(samples):
            x = left + index % _COLUMNS * (_SIDE + _GAP)
            y = head + index // _COLUMNS * (_SIDE + _GAP)
            sheet.paste(Image.fromarray(field_of(sample, field_um)), (x, y))
    _draw_scale(draw, field_um, height)
    path = Path(path)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def field_of(sample: Sample, field_um: float) -> NDArray[np.uint8]:
    """The middle of an image, `field_um` wide and high, as a square of the sheet."""
    image = sample.image()
    pixels = max(1, round(field_um / sample.mpp))
    top, left = ((edge - pixels) // 2 for edge in image.shape[:2])
    crop = image[max(0, top) :, max(0, left) :][:pixels, :pixels]
    return resample_image(np.ascontiguousarray(crop), _SIDE / crop.shape[0])[:_SIDE, :_SIDE]


def _spread_over_cases(samples: Sequence[Sample], most: int) -> list[Sample]:
    """Up to `most` samples: the first of each case, spread over the cases, then the others."""
    by_case: dict[str, list[Sample]] = {}
    for sample in samples:
        by_case.setdefault(sample.case, []).append(sample)
    firsts = [group[0] for group in by_case.values()]
    if len(firsts) >= most:
        return [firsts[i] for i in np.linspace(0, len(firsts) - 1, most).round().astype(int)]
    others = [sample for group in by_case.values() for sample in group[1:]]
    return [*firsts, *others][:most]


def _draw_scale(draw: ImageDraw.ImageDraw, field_um: float, height: int) -> None:
    length = _BAR_UM / field_um * _SIDE
    y = height - _LINE / 2 - _GAP / 2
    draw.line((_GAP, y, _GAP + length, y), fill="black", width=3)
    text = f"{_BAR_UM} µm; each field is {field_um:.0f} µm wide"
    draw.text((_GAP + length + 8, y), text, "black", _font(12), anchor="lm")


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib; Pillow's own has no µ and no ²."""
    return ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size
    )
