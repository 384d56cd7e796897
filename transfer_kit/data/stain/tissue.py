"""Where tissue is, and which colours it has."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.density import OPTICAL_DENSITY

LIGHTEST = 0.8
"""Tissue has less than this share of the full lightness (L of LAB), as in staintools."""

_MOST_COLOURS = 20_000
_FINEST_BITS, _COARSEST_BITS = 6, 4


def tissue_mask(image: NDArray[np.uint8], lightest: float = LIGHTEST) -> NDArray[np.bool_]:
    """Pixels that are darker than glass, `(H, W)`.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        lightest: Share of the full lightness from which a pixel is background.
    """
    lightness = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB)[..., 0]
    mask: NDArray[np.bool_] = lightness < 255 * lightest
    return mask


@dataclass(frozen=True, eq=False)
class TissueColours:
    """The colours of an image's tissue, and how often each occurs.

    Estimating from colours in place of pixels looks at all pixels, at the cost of a few thousand.

    Attributes:
        densities: `(3, N)` float32 optical density of N colours.
        counts: `(N,)` float32 pixels of each.
        pixels: Of the whole image.
    """

    densities: NDArray[np.float32]
    counts: NDArray[np.float32]
    pixels: int

    @property
    def share(self) -> float:
        """Share of the image that is tissue."""
        return float(self.counts.sum()) / max(1, self.pixels)


def tissue_colours(image: NDArray[np.uint8], lightest: float = LIGHTEST) -> TissueColours:
    """The tissue's colours in steps of four grey levels, coarser for an image of noise.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        lightest: As in `tissue_mask`.
    """
    image = np.ascontiguousarray(image)
    for bits in range(_FINEST_BITS, _COARSEST_BITS - 1, -1):
        steps, counts = _histogram(image, bits)
        if counts.size <= _MOST_COLOURS:
            break
    width = 256 >> bits
    middle = np.ascontiguousarray((steps * width + width // 2).astype(np.uint8).T[None])
    is_tissue = tissue_mask(middle, lightest)[0]
    density = OPTICAL_DENSITY.reshape(-1, width).mean(axis=1)
    return TissueColours(
        density[steps[:, is_tissue]], counts[is_tissue], image.shape[0] * image.shape[1]
    )


def _histogram(image: NDArray[np.uint8], bits: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Red, green and blue step `(3, N)` of each colour that occurs, and its pixels `(N,)`."""
    counts = cv2.calcHist([image], [0, 1, 2], None, [1 << bits] * 3, [0, 256] * 3).ravel()
    occurring = np.flatnonzero(counts)
    last = (1 << bits) - 1
    steps = np.stack([occurring >> 2 * bits, occurring >> bits & last, occurring & last])
    return steps, np.asarray(counts[occurring], np.float32)


def weighted_percentiles(
    values: NDArray[np.float32], counts: NDArray[np.float32], percentiles: tuple[float, ...]
) -> NDArray[np.float64]:
    """Percentiles of `values`, each occurring `counts` times, between the nearest ranks."""
    order = np.argsort(values)
    weights = counts[order].astype(np.float64)
    ranks = np.cumsum(weights) - weights / 2
    wanted = np.asarray(percentiles) / 100 * weights.sum()
    return np.asarray(np.interp(wanted, ranks, values[order]), np.float64)
