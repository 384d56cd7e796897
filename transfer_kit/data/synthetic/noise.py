"""Smooth random fields.

All in float64: the last bit may differ between processors, and is then far too small to survive
the rounding to 8 bits.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

Field = NDArray[np.float64]


def blurred(field: Field, sigma_px: float) -> Field:
    """`field` under a Gaussian of `sigma_px`, mirrored at the border."""
    smooth: Field = cv2.GaussianBlur(field, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return smooth


def normalised(field: Field) -> Field:
    """`field` shifted and scaled to mean 0 and standard deviation 1."""
    centred: Field = field - field.mean()
    return centred / max(float(centred.std()), 1e-12)


def smooth(rng: np.random.Generator, size: int, scale_px: float) -> Field:
    """Unit noise whose blobs are about `scale_px` wide, `(size, size)`.

    White noise on a coarse grid, carried to the pixels by cubic B-splines.
    """
    spacing = max(scale_px / 2, 1.0)
    place = np.arange(size) / spacing + 1.0
    grid = rng.standard_normal((int(place[-1]) + 3, int(place[-1]) + 3))
    return normalised(_splined(_splined(grid, place).T, place).T)


def _splined(grid: Field, place: Field) -> Field:
    """The rows of `grid` at fractional rows `place`, each the blend of four."""
    first = place.astype(np.intp) - 1
    t = place - np.floor(place)
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3)
    rows = np.zeros((len(place), grid.shape[1]))
    for k, weight in enumerate(weights):
        rows += grid[first + k] * (weight / 6)[:, None]
    return rows


def band(rng: np.random.Generator, size: int, fine_px: float, coarse_px: float) -> Field:
    """Unit noise with structures between `fine_px` and `coarse_px` wide (Gaussian sigmas)."""
    white = rng.standard_normal((size, size))
    return normalised(blurred(white, fine_px) - blurred(white, coarse_px))


def oriented(
    rng: np.random.Generator, angle: Field, *, width_px: float, length_px: float, wave_px: float
) -> Field:
    """Unit noise of streaks `width_px` by `length_px` that run along `angle`, and wave.

    Args:
        rng: Source of the streaks.
        angle: Direction in radians `(H, W)`, x towards y; used as its mean plus a bend.
        width_px: Width of a streak.
        length_px: Length of a streak.
        wave_px: How far streaks wander to the side.
    """
    size = len(angle)
    ys, xs = np.mgrid[:size, :size].astype(np.float64)
    mean = float(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean()))
    cos, sin = np.cos(mean), np.sin(mean)
    along = xs * cos + ys * sin
    across = ys * cos - xs * sin
    # The bend of the field, as a sideways displacement; then two scales of waviness.
    across = across - np.sin(angle - mean) * size / 8
    across += smooth(rng, size, size / 3) * wave_px * 2 + smooth(rng, size, size / 12) * wave_px / 2
    rows, columns = int(3 * size / width_px) + 8, int(3 * size / length_px) + 8
    grid = rng.standard_normal((rows, columns))
    where = [(across + size) / width_px % (rows - 2), (along + size) / length_px % (columns - 2)]
    return normalised(map_coordinates(grid, where, order=1, mode="wrap"))
