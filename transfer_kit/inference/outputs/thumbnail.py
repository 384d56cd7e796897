"""A whole slide in little."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.slides.slide import Slide

_BLOCK_PX = 2_048


def thumbnail(slide: Slide, longest_px: int) -> NDArray[np.uint8]:
    """RGB `(h, w, 3)` of the slide, no larger than it is; at most a block of it is in memory.

    Raises:
        UserError: the slide is damaged.
    """
    shrink = min(1.0, longest_px / max(slide.size))
    height, width = (max(round(side * shrink), 1) for side in slide.size)
    level = _coarsest(slide, max(height, width))
    pixels = _averaged(slide, level, max(max(slide.levels[level].size) // max(height, width), 1))
    if pixels.shape[:2] == (height, width):
        return pixels
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def _coarsest(slide: Slide, longest_px: int) -> int:
    """The last level that has at least so many pixels along its longer side."""
    fine = [k for k, level in enumerate(slide.levels) if max(level.size) >= longest_px]
    return max(fine, default=0)


def _averaged(slide: Slide, level: int, factor: int) -> NDArray[np.uint8]:
    """A level, each `factor`² pixels averaged to one; those left over at its ends to one, too."""
    height, width = slide.levels[level].size
    step = max(_BLOCK_PX // factor, 1) * factor
    small = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    for y in range(0, height, step):
        for x in range(0, width, step):
            block = slide.read(level, x, y, min(step, width - x), min(step, height - y))
            rows, columns = (-(-side // factor) for side in block.shape[:2])
            mean = cv2.resize(block, (columns, rows), interpolation=cv2.INTER_AREA)
            small[y // factor :, x // factor :][:rows, :columns] = mean
    return small
