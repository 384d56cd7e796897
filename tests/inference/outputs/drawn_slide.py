"""A slide that is an array in memory, with levels that are its averages."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transfer_kit.data.slides.slide import Level


class DrawnSlide:
    """Only what the writers of pictures use of a slide."""

    def __init__(self, image, downsamples=(1,), mpp=0.5):
        self.path, self.mpp, self.reads = Path("drawn.svs"), mpp, []
        self._levels = [_averaged(image, factor) for factor in downsamples]
        self.levels = tuple(
            Level(level.shape[:2], factor)
            for level, factor in zip(self._levels, downsamples, strict=True)
        )

    @property
    def size(self):
        return self.levels[0].size

    def read(self, level, x, y, width, height):
        self.reads.append((level, x, y, width, height))
        window = self._levels[level][y : y + height, x : x + width]
        assert window.shape[:2] == (height, width), "a window lies within its level"
        return window


def _averaged(image, factor):
    height, width = (side // factor * factor for side in image.shape[:2])
    blocks = image[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
