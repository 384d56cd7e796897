"""Words beside pictures: legends below, captions above, pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

Image = NDArray[np.uint8]

_INK = (30, 30, 30)
_TEXT_PIXELS = 22
_BAR_PIXELS = 44
_GAP_PIXELS = 28
_MARGIN_PIXELS = 12


class Entry(NamedTuple):
    """One mark of a legend: its words, and a small picture of it on white."""

    text: str
    sample: Image


def legend_below(image: Image, entries: Sequence[Entry], note: str = "") -> Image:
    """The image on a white bar with the marks' meaning and a note; widened if it is narrow.

    Entries that do not fit into the width go on another line.
    """
    gap = _GAP_PIXELS
    pieces = [_joined(entry.sample, _text(entry.text)) for entry in entries]
    if note:
        pieces.append(_text(note))
    width = max([image.shape[1], *(piece.shape[1] + 2 * _MARGIN_PIXELS for piece in pieces)])
    lines, across = [_blank(_BAR_PIXELS, width)], _MARGIN_PIXELS
    for piece in pieces:
        if across > _MARGIN_PIXELS and across + piece.shape[1] > width - _MARGIN_PIXELS:
            lines.append(_blank(_BAR_PIXELS, width))
            across = _MARGIN_PIXELS
        _paste(lines[-1], piece, across)
        across += piece.shape[1] + gap
    return np.concatenate([_widened(image, width), *lines])


def caption_above(image: Image, text: str) -> Image:
    """The image under a white bar with one line of text; widened if the text is longer."""
    words = _text(text)
    width = max(image.shape[1], words.shape[1] + 2 * _MARGIN_PIXELS)
    bar = _blank(_BAR_PIXELS, width)
    _paste(bar, words, _MARGIN_PIXELS)
    return np.concatenate([bar, _widened(image, width)])


def side_by_side(images: Sequence[Image]) -> Image:
    """The images in a row on white, tops aligned, a little apart."""
    height = max(image.shape[0] for image in images)
    row: list[Image] = []
    for image in images:
        below = _blank(height - image.shape[0], image.shape[1])
        row += [_blank(height, _MARGIN_PIXELS), np.concatenate([image, below])]
    return np.concatenate(row[1:], axis=1)


@cache
def _font() -> ImageFont.FreeTypeFont:
    # Matplotlib brings this font along; OpenCV's own letters have no micro sign.
    import matplotlib as mpl

    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), _TEXT_PIXELS)


def _text(words: str) -> Image:
    """The words on white, as high as a bar, so that all stand on one line."""
    width = int(np.ceil(_font().getlength(words))) + 2
    canvas = Pillow.new("RGB", (width, _BAR_PIXELS), "white")
    middle = (1, _BAR_PIXELS // 2)
    ImageDraw.Draw(canvas).text(middle, words, font=_font(), fill=_INK, anchor="lm")
    return np.array(canvas, np.uint8)


def _joined(sample: Image, words: Image) -> Image:
    bar = _blank(_BAR_PIXELS, sample.shape[1] + 8 + words.shape[1])
    _paste(bar, sample, 0)
    _paste(bar, words, sample.shape[1] + 8)
    return bar


def _paste(bar: Image, piece: Image, across: int) -> None:
    top = (bar.shape[0] - piece.shape[0]) // 2
    bar[top : top + piece.shape[0], across : across + piece.shape[1]] = piece


def _widened(image: Image, width: int) -> Image:
    return np.concatenate([image, _blank(image.shape[0], width - image.shape[1])], axis=1)


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), 255, np.uint8)
