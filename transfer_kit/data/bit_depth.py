"""Samples of 8 to 32 bits and floats as 8-bit ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_kit.errors import UserError


def as_uint8(
    pixels: NDArray[Any], path: Path, *, bits: int | None = None, white: int | None = None
) -> NDArray[np.uint8]:
    """Samples of any type scaled to 8 bits, as `read_image` states.

    Args:
        pixels: Samples, any shape; never below 0.
        path: Named in an error.
        bits: Bits a sample that the file states.
        white: Greatest sample value that the file states.

    Raises:
        UserError: samples below 0, or floats in neither 0..1 nor 0..255.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind == "f":
        return _floats_as_uint8(pixels, path)
    if pixels.dtype.kind not in "ui" or int(pixels.min(initial=0)) < 0:
        raise UserError(
            f"{path} holds {pixels.dtype} samples, some below 0; save it as uint8 or uint16."
        )
    brightest = int(pixels.max(initial=0))
    full = int(np.iinfo(pixels.dtype).max)
    if white is not None and brightest <= white < full:
        full = white
    elif bits is not None and bits < pixels.dtype.itemsize * 8:
        full = 2**bits - 1
    elif pixels.dtype == np.uint16 and brightest < 2**12:
        full = 2**12 - 1
    return _scaled_by_table(pixels, full) if full < 2**16 else _scaled(pixels / full)


def _scaled_by_table(pixels: NDArray[Any], white: int) -> NDArray[np.uint8]:
    """As `_scaled(pixels / white)`, by a look-up table: 65536 roundings instead of 3 a pixel."""
    values = np.arange(white + 1, dtype=np.int64)
    table = ((values * 510 + white) // (2 * white)).astype(np.uint8)
    return np.asarray(table[np.minimum(pixels, white)])


def _scaled(fraction: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(np.floor(np.clip(fraction, 0, 1) * 255 + 0.5).astype(np.uint8))


def _floats_as_uint8(pixels: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    low, high = float(pixels.min(initial=0)), float(pixels.max(initial=0))
    if not np.isfinite([low, high]).all() or low < 0 or high > 255:
        raise UserError(
            f"{path} holds float samples from {low:g} to {high:g}, and neither 0..1 nor 0..255; "
            "scale them to 0..1."
        )
    return _scaled(pixels.astype(np.float64) / (1 if high <= 1 else 255))
