"""Optical density: how much light dyes take away (Beer and Lambert), and the way back to pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

OPTICAL_DENSITY = (-np.log((np.arange(256) + 1) / 256)).astype(np.float32)
"""Natural optical density of each grey level; one level is added, so that black has one too."""


def optical_density(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Optical density of each channel, the shape of `image`; white is 0, black 5.5."""
    density: NDArray[np.float32] = OPTICAL_DENSITY[image]
    return density


def map_density(
    image: NDArray[np.uint8], linear: NDArray[np.float64], offset: ArrayLike
) -> NDArray[np.uint8]:
    """Each pixel's density d, a row of three, becomes d · `linear` + `offset`.

    Deconvolution, any affine change of the concentrations, and other stain vectors on the way
    back are together one such map, so one 3 × 3 product a pixel does them all.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        linear: `(3, 3)`.
        offset: Three, in natural optical density.
    """
    matrix = np.hstack([linear.T, np.asarray(offset)[:, None]]).astype(np.float32)
    density = cv2.transform(cv2.LUT(image, OPTICAL_DENSITY), -matrix)
    light = np.minimum(cv2.exp(density), np.float32(1))
    changed: NDArray[np.uint8] = cv2.convertScaleAbs(
        np.maximum(light, np.float32(1 / 256)), alpha=256, beta=-1
    )
    return changed
