"""Luminosity: how bright the glass is, made the same in all images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def standardise_luminosity(
    image: NDArray[np.uint8], white: float | None = None
) -> NDArray[np.uint8]:
    """The image with its glass at full white.

    As staintools' `LuminosityStandardizer`: the lightest 5 % become white, colours are kept. A
    black image stays as it is.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        white: The lightness that becomes white; by default the image's `brightest`.
    """
    white = brightest(image) if white is None else white
    if white == 0:
        return image
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB)
    levels = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 1, 3))
    levels[:, 0, 0] = np.clip(255 * np.arange(256) / white, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.LUT(lab, levels), cv2.COLOR_LAB2RGB), np.uint8)


def brightest(image: NDArray[np.uint8], percentile: float = 95.0) -> float:
    """This percentile of the lightness (L of LAB, 0 to 255) of an image `(H, W, 3)`."""
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB)
    return float(np.percentile(lab[..., 0], percentile))
