"""Melanin: brown granules in cell bodies, and clumps that hide what lies below."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.synthetic.noise import Field, blurred, smooth
from transfer_kit.data.synthetic.nuclei import Canvas
from transfer_kit.data.synthetic.tissue import px, scatter, soft_step

OVER_NUCLEI = 0.1  # share of granules that lie above or below a nucleus in the section


def melanin(
    canvas: Canvas, tone: Field, *, void: Field, load: float, rng: np.random.Generator
) -> Field:
    """Optical density of melanin `(H, W)`.

    Args:
        canvas: The nuclei, which it leaves free but for a few granules.
        tone: Each pixel's cell tone, unit noise: some cells carry much, most carry little.
        void: Empty glass, 0 to 1, which holds no pigment.
        load: 0 (none) to 1.
        rng: Source of patches, granules and clumps.
    """
    size = len(tone)
    if load <= 0:
        return np.zeros((size, size))
    patch = soft_step(smooth(rng, size, px(45)) - 0.9 + 1.4 * load, 0.9) * (1 - void)
    per_pixel = 0.16 * load * patch * np.exp(0.9 * np.clip(tone, -2, 1.6))
    granules = _granules(rng, per_pixel * (1 - (1 - OVER_NUCLEI) * canvas.cover))
    dust = 0.05 * load * patch * np.maximum(1 + tone, 0) * (1 - 0.8 * canvas.cover)
    return np.minimum(granules + dust, 1.3) + _clumps(rng, canvas, patch, load)


def _granules(rng: np.random.Generator, per_pixel: Field) -> Field:
    """Grains of 0.4 to 0.8 µm, `per_pixel` of them on average."""
    counts = rng.poisson(np.minimum(per_pixel, 0.5))
    weight = counts * rng.uniform(0.35, 1.3, counts.shape)
    return blurred(weight.astype(np.float64), 0.8)


def _clumps(rng: np.random.Generator, canvas: Canvas, patch: Field, load: float) -> Field:
    """Melanophages: dark lumps of 5 to 12 µm that look like nuclei and are none."""
    size = len(patch)
    free = blurred((canvas.instances > 0).astype(np.float64), px(1.2)) < 0.12
    places = scatter(rng, patch * free, per_mm2=1500 * load, population="", spacing_um=9.0)
    field = np.zeros((size, size))
    if not places:
        return field
    lumps = smooth(rng, size, px(2.5))
    for place in places:
        radius = px(rng.uniform(2.2, 5.0))
        reach = int(radius * 1.6) + 2
        x, y = int(place.x), int(place.y)
        rows = slice(max(y - reach, 0), min(y + reach + 1, size))
        columns = slice(max(x - reach, 0), min(x + reach + 1, size))
        ys, xs = np.mgrid[rows, columns].astype(np.float64)
        distance = np.hypot(xs - place.x, (ys - place.y) * rng.uniform(0.8, 1.3))
        lump = soft_step(radius + 0.22 * radius * lumps[rows, columns] - distance, 2.0)
        field[rows, columns] = np.maximum(field[rows, columns], lump * rng.uniform(0.7, 1.2))
    nuclei: NDArray[np.float64] = (canvas.instances > 0).astype(np.float64)
    texture = 1 + 0.3 * smooth(rng, size, 3.0)
    return field * np.maximum(texture, 0.3) * (1 - 0.95 * np.maximum(nuclei, canvas.cover))
