"""What a slide scanner does to a section: focus, sharpening, noise, white point, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.synthetic.noise import blurred, smooth


@dataclass(frozen=True)
class Scanner:
    """Ranges from which each case's scanner is drawn.

    Attributes:
        blur_px: Standard deviation of the point spread function.
        sharpening: Factor of the unsharp mask that scanners apply.
        noise_levels: Standard deviation of the sensor's noise, grey levels of 255.
        white_level: Grey level of empty glass.
        jpeg_quality: Of 100, as OpenCV counts.
    """

    blur_px: tuple[float, float] = (0.55, 0.95)
    sharpening: tuple[float, float] = (0.2, 0.7)
    noise_levels: tuple[float, float] = (1.0, 2.5)
    white_level: tuple[float, float] = (232.0, 248.0)
    jpeg_quality: tuple[int, int] = (70, 90)


def scanned(
    light: NDArray[np.float64], scanner: Scanner, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The uint8 image `(H, W, 3)` of transmitted `light` in [0, 1]."""
    size = len(light)
    image = blurred(light, rng.uniform(*scanner.blur_px))
    image = image + rng.uniform(*scanner.sharpening) * (image - blurred(image, 2.0))
    white = rng.uniform(*scanner.white_level) + rng.normal(0, 1.5, 3)
    lamp = 1 + 0.008 * smooth(rng, size, size)
    grain = rng.standard_normal((size, size, 3)) * rng.uniform(*scanner.noise_levels)
    levels = image * white * lamp[..., None] + blurred(grain, 0.5) * 1.6
    sensed = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return through_jpeg(sensed, int(rng.integers(*scanner.jpeg_quality, endpoint=True)))


def through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """`image` after JPEG compression, which leaves its blocks and washes out its colours."""
    _, packed = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])
