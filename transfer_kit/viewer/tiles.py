"""Square tiles of a slide at every power of two, from the nearest level that it has."""

from __future__ import annotations

import math

import cv2
import numpy as np

from transfer_kit.data.slides.slide import Pixels, Slide

TILE_PX = 512
"""Side of a tile; those at the right and lower edge are smaller."""

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
"""Colours as sharp as brightness: stains are told apart by their colour."""

# A level counts as one of downsample d up to this: scanners round the sizes of their levels.
_SLACK = 1.01

# Wider steps are taken through tiles between, so that no window read is ever large.
_WIDEST_STEP = 3.0


class Tiles:
    """A slide as a Deep Zoom pyramid: level 0 is one pixel, `depth` the slide's own pixels.

    A tile of a level at half the size is made from four of the next one where the slide has no
    level near; so a plain image without levels is read in pieces.
    """

    def __init__(self, slide: Slide) -> None:
        self.slide = slide
        self.depth = depth_of(slide.size)

    def size(self, level: int) -> tuple[int, int]:
        """Height and width in pixels of a level."""
        height, width = self.slide.size
        factor = 2 ** (self.depth - level)
        return -(-height // factor), -(-width // factor)

    def shape(self, level: int) -> tuple[int, int]:
        """Number of rows and columns of tiles of a level."""
        height, width = self.size(level)
        return -(-height // TILE_PX), -(-width // TILE_PX)

    def __contains__(self, place: tuple[int, int, int]) -> bool:
        """Whether there is a tile at level, column and row."""
        level, column, row = place
        if not 0 <= level <= self.depth:
            return False
        rows, columns = self.shape(level)
        return 0 <= column < columns and 0 <= row < rows

    def pixels(self, level: int, column: int, row: int) -> Pixels:
        """One tile, RGB; at the finest level exactly the slide's pixels.

        Raises:
            UserError: the slide is damaged there.
        """
        factor = 2 ** (self.depth - level)
        number = _nearest(self.slide, factor)
        step = factor / self.slide.levels[number].downsample
        if step > _WIDEST_STEP:
            return self._from_finer(level, column, row)
        height, width = self.size(level)
        left, top = column * TILE_PX, row * TILE_PX
        right, bottom = min(left + TILE_PX, width), min(top + TILE_PX, height)
        rows, columns = self.slide.levels[number].size
        x, y = min(round(left * step), columns - 1), min(round(top * step), rows - 1)
        across = max(1, min(round(right * step), columns) - x)
        down = max(1, min(round(bottom * step), rows) - y)
        return _resized(self.slide.read(number, x, y, across, down), right - left, bottom - top)

    def _from_finer(self, level: int, column: int, row: int) -> Pixels:
        rows, columns = self.shape(level + 1)
        across = range(2 * column, min(2 * column + 2, columns))
        down = range(2 * row, min(2 * row + 2, rows))
        whole = np.concatenate(
            [np.concatenate([self.pixels(level + 1, x, y) for x in across], axis=1) for y in down]
        )
        height, width = self.size(level)
        left, top = column * TILE_PX, row * TILE_PX
        return _resized(whole, min(TILE_PX, width - left), min(TILE_PX, height - top))

    def jpeg(self, level: int, column: int, row: int) -> bytes:
        """One tile as JPEG."""
        return encoded(self.pixels(level, column, row))


def depth_of(size: tuple[int, int]) -> int:
    """Number of halvings until an image `(height, width)` is a single pixel."""
    return math.ceil(math.log2(max(size)))


def encoded(pixels: Pixels) -> bytes:
    """RGB pixels as JPEG."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _JPEG)
    if not done:
        raise ValueError(f"no JPEG could be made of pixels of the shape {pixels.shape}")
    return bytes(data.tobytes())


def _nearest(slide: Slide, factor: float) -> int:
    """The coarsest level that still has every pixel of a level of this downsample."""
    fine = [n for n, level in enumerate(slide.levels) if level.downsample <= factor * _SLACK]
    return max(fine, key=lambda n: slide.levels[n].downsample)


def _resized(pixels: Pixels, width: int, height: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
