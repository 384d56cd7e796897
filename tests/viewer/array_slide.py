"""Slides in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transfer_kit.data.slides import Level


class ArraySlide:
    """A slide in memory that notes the largest window read of it."""

    def __init__(self, pixels, downsamples=(1,), mpp=0.25, path=Path("drawn.svs")):
        self.path, self.mpp, self.closed, self.largest = path, mpp, 0, 0
        self.pyramid = [averaged(pixels, factor) for factor in downsamples]
        self.levels = tuple(
            Level(level.shape[:2], float(factor))
            for level, factor in zip(self.pyramid, downsamples, strict=True)
        )

    @property
    def size(self):
        return self.levels[0].size

    def read(self, level, x, y, width, height):
        rows, columns = self.levels[level].size
        assert 0 <= x < x + width <= columns
        assert 0 <= y < y + height <= rows
        self.largest = max(self.largest, width * height)
        return self.pyramid[level][y : y + height, x : x + width].copy()

    def close(self):
        self.closed += 1


def averaged(pixels, factor):
    """Means of `factor` × `factor` pixels; what is left over at the far edges is dropped."""
    height, width = (side // factor for side in pixels.shape[:2])
    parts = pixels[: height * factor, : width * factor].astype(float)
    parts = parts.reshape(height, factor, width, factor, -1).mean(axis=(1, 3))
    return np.rint(parts).astype(np.uint8)


def smooth_pixels(height, width, seed=0):
    """Slow changes of colour, as tissue out of focus: JPEG and resampling change them little."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 60
    waves = [np.sin(x * a + y * b) for a, b in rng.uniform(-1, 1, (3, 2))]
    return np.rint(128 + 90 * np.stack(waves, axis=2)).astype(np.uint8)
