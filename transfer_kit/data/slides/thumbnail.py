"""A slide as one small picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from transfer_kit.data.slides.slide import Pixels, Slide

_READ_PX = 2048  # sides of what is read at a time


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A slide's pixels, averaged over squares.

    Attributes:
        pixels: `(h, w, 3)` uint8 RGB; a square at the far edges may reach beyond the slide.
        downsample: Side of a square in pixels of level 0.
    """

    pixels: Pixels
    downsample: float


def thumbnail_of(slide: Slide, downsample: float) -> Thumbnail:
    """The slide, averaged over squares of at most `downsample` pixels of level 0.

    It is made from the coarsest level that is fine enough, a few megabytes of it at a time, in
    whole multiples of that level's pixels.

    Raises:
        UserError: the slide is damaged.
    """
    level = max(k for k, known in enumerate(slide.levels) if known.downsample <= max(downsample, 1))
    by = max(1, int(downsample / slide.levels[level].downsample + 1e-6))
    height, width = slide.levels[level].size
    small = np.empty((-(-height // by), -(-width // by), 3), np.uint8)
    step = by * max(1, _READ_PX // by)
    for y in range(0, height, step):
        for x in range(0, width, step):
            window = slide.read(level, x, y, min(step, width - x), min(step, height - y))
            part = _averaged(window, by)
            rows, columns = part.shape[:2]
            small[y // by : y // by + rows, x // by : x // by + columns] = part
    return Thumbnail(small, slide.levels[level].downsample * by)


def scaled_down(slide: Slide, longest_px: int) -> Pixels:
    """The slide as a picture whose longer side has so many pixels, but no larger than it is.

    Raises:
        UserError: the slide is damaged.
    """
    shrink = min(1.0, longest_px / max(slide.size))
    height, width = (max(round(side * shrink), 1) for side in slide.size)
    pixels = thumbnail_of(slide, max(slide.size) / max(height, width)).pixels
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _averaged(window: Pixels, by: int) -> Pixels:
    """The mean of squares of `by` pixels; the last row and column are repeated to fill theirs."""
    height, width = window.shape[:2]
    bottom, right = -height % by, -width % by
    if bottom or right:
        window = cv2.copyMakeBorder(window, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    size = window.shape[1] // by, window.shape[0] // by
    return np.asarray(cv2.resize(window, size, interpolation=cv2.INTER_AREA), np.uint8)
