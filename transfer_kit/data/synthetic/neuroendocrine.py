"""Pancreatic neuroendocrine tumour: nests and ribbons of like cells, beside acini and stroma."""

from __future__ import annotations

import numpy as np

from transfer_kit.data.synthetic.noise import Field, smooth
from transfer_kit.data.synthetic.organ import Organ
from transfer_kit.data.synthetic.tissue import (
    Tissue,
    lattice,
    px,
    scatter,
    soft_step,
    voronoi,
    warped,
)


def nests(organ: Organ, rng: np.random.Generator, size: int) -> Tissue:
    """Tumour in nests or ribbons between thin septa; around it stroma, lymphocytes and acini."""
    xs, ys = warped(rng, size, amount_um=4.0, scale_um=40.0)
    across = rng.uniform(0, np.pi)
    tumour = _tumour(rng, size, across)
    packed, direction = _nests(rng, size, xs=xs, ys=ys)
    cells = packed * tumour
    outside = 1 - soft_step(tumour - 0.02, 0.05)
    acini, lumen, basal, radial = _acini(rng, size, xs=xs, ys=ys)
    lobule = soft_step(smooth(rng, size, px(110)) - rng.uniform(-1.0, 1.0), 0.12) * outside
    acini, lumen = acini * lobule, lumen * lobule
    stroma = np.clip(1 - cells - acini, 0, 1)
    septa = stroma * tumour
    wide = stroma * outside
    inflamed = soft_step(smooth(rng, size, px(45)) - rng.uniform(0.4, 1.8), 0.3) * stroma
    grain = across + 0.5 * smooth(rng, size, size * 0.4)
    crowded = rng.uniform(0.8, 1.2)
    seats = scatter(
        rng, np.clip(cells, 0, 1) ** 3, per_mm2=10500 * crowded, population="tumour", spacing_um=7.6
    )
    seats += scatter(
        rng, basal * lobule, per_mm2=24000, population="acinar", spacing_um=6.2, grain=radial
    )
    seats += scatter(rng, inflamed, per_mm2=8000, population="lymphocyte", spacing_um=6.2)
    seats += scatter(rng, stroma + 0.015, per_mm2=500, population="lymphocyte", spacing_um=8)
    seats += scatter(
        rng,
        septa,
        per_mm2=3200,
        population="endothelial",
        spacing_um=9,
        grain=direction,
        spread=0.15,
    )
    seats += scatter(
        rng, wide, per_mm2=1700, population="fibroblast", spacing_um=9, grain=grain, spread=0.25
    )
    return Tissue(
        cells=np.clip(cells + acini, 0, 1),
        void=lumen,
        grain=grain,
        seats=seats,
        haematoxylin=0.06 * acini,
        tumour=tumour,
    )


def _tumour(rng: np.random.Generator, size: int, across: float) -> Field:
    """A front of tumour that pushes into the pancreas from one side, or an image full of it."""
    xs, ys = warped(rng, size, amount_um=14.0, scale_um=70.0)
    along = (xs - size / 2) * np.cos(across) + (ys - size / 2) * np.sin(across)
    share = rng.uniform(0.35, 1.05)
    front = size * (share - 0.5)
    field = soft_step(front - along, px(1.0))
    # A band of stroma that the tumour has not taken.
    strand = np.abs(along - size * rng.uniform(-0.9, 0.3)) - px(rng.uniform(8, 22))
    return field * soft_step(strand, px(1.0))


def _nests(rng: np.random.Generator, size: int, *, xs: Field, ys: Field) -> tuple[Field, Field]:
    """How much of a pixel is tumour cells, if there is tumour, and the direction of septa."""
    turn, stretch = rng.uniform(0, np.pi), rng.choice([1.0, 1.3, 2.6], p=[0.35, 0.3, 0.35])
    pitch = rng.uniform(34, 62) / np.sqrt(stretch)
    cos, sin = np.cos(turn), np.sin(turn)
    u, v = (xs * cos + ys * sin) / stretch, ys * cos - xs * sin
    reach = 2 * size
    centres = lattice(rng, 2 * reach, pitch, jitter=0.26) - reach
    _, border = voronoi(centres, u, v)
    width = px(rng.uniform(1.2, 3.0)) * np.maximum(1 + 0.6 * smooth(rng, size, px(22)), 0.2)
    packed = soft_step(border - width, px(0.5))
    slope_y, slope_x = np.gradient(border)
    return packed, np.arctan2(slope_y, slope_x) + np.pi / 2


def _acini(
    rng: np.random.Generator, size: int, *, xs: Field, ys: Field
) -> tuple[Field, Field, Field, Field]:
    """Cells, lumens, the basal band where nuclei stand, and its direction."""
    pitch = rng.uniform(21, 27)
    centres = lattice(rng, size, pitch, jitter=0.2)
    nearest, border = voronoi(centres, xs, ys)
    dx, dy = xs - centres[nearest, 0], ys - centres[nearest, 1]
    distance = np.hypot(dx, dy)
    depth = np.minimum(border, px(0.6 * pitch) - distance) - px(rng.uniform(0.5, 1.5))
    cells = soft_step(depth, px(0.4))
    hollow = px(1) * rng.uniform(0.6, 2.4, len(centres))
    lumen = 0.8 * soft_step(hollow[nearest] - distance, 1.5) * cells
    basal = soft_step(px(1.8) - np.abs(depth - px(3.8)), px(0.6))
    return cells, lumen, basal, np.arctan2(dy, dx) + np.pi / 2
