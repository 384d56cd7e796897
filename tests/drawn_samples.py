"""Samples that are drawn in memory, with what ImageCache and PatchSampler ask of a Sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from transfer_kit.data.annotation import Annotation


@dataclass
class DrawnSample:
    id: str
    pixels: np.ndarray
    known: Annotation = field(default_factory=lambda: Annotation.of_points(np.zeros((0, 2))))
    mpp: float = 0.25
    case: str = "case"

    @property
    def image_path(self) -> Path:
        return Path(f"{self.id}.png")

    def image(self) -> np.ndarray:
        return self.pixels

    def annotation(self) -> Annotation:
        return self.known


def noise_image(seed: int, height: int = 120, width: int = 150) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def spotted_sample(name: str, *, height: int = 420, width: int = 460, seed: int = 0) -> DrawnSample:
    """A dark image with a bright spot (sigma 2 px) at every point, 45 px apart or more."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(20, width - 20, 55), np.arange(20, height - 20, 55))
    points = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-5, 5, (x.size, 2))
    rows, columns = np.mgrid[:height, :width]
    light = np.zeros((height, width))
    for px, py in points:
        light += np.exp(-((columns - px) ** 2 + (rows - py) ** 2) / 8)
    pixels = np.repeat(np.rint(240 * light).astype(np.uint8)[..., None], 3, axis=2)
    return DrawnSample(name, pixels, Annotation.of_points(points.astype(np.float32), "nucleus"))


def spot_centre(image: np.ndarray, point: np.ndarray, radius: int = 8) -> np.ndarray:
    """Centre of mass of the light around a point."""
    x, y = np.rint(point).astype(int)
    rows, columns = np.mgrid[y - radius : y + radius + 1, x - radius : x + radius + 1]
    light = image[y - radius : y + radius + 1, x - radius : x + radius + 1, 0].astype(float)
    return np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
