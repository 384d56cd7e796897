"""Architectures with glands: breast ducts, colon crypts, kidney tubules."""

from __future__ import annotations

import numpy as np

from transfer_kit.data.synthetic.noise import Field, smooth
from transfer_kit.data.synthetic.nuclei import Seat
from transfer_kit.data.synthetic.organ import Organ
from transfer_kit.data.synthetic.tissue import (
    Tissue,
    lattice,
    px,
    scatter,
    soft_step,
    stamp_disc,
    voronoi,
    warped,
)


def ducts(organ: Organ, rng: np.random.Generator, size: int) -> Tissue:
    """Breast: nests or sheets of epithelium, some with a lumen, in fibrous stroma; fat in some."""
    sheet = rng.random() < 0.25
    xs, ys = warped(rng, size, amount_um=5.0, scale_um=45.0)
    cells, lumen = _nests(rng, size, sheet=sheet, xs=xs, ys=ys)
    direction = rng.uniform(0, np.pi)
    grain = direction + 0.45 * smooth(rng, size, size * 0.6)
    fat = np.zeros((size, size))
    stroma = 1 - cells
    if rng.random() < 0.22:
        fat, septa = _fat(rng, size, xs=xs, ys=ys)
        cells = cells * (1 - septa)
        fat, stroma = fat * (1 - cells), (1 - cells) * (1 - septa * 0.9)
    void = np.maximum(lumen, fat)
    room = np.clip(cells - 3 * lumen, 0, 1) ** 3
    crowded = rng.uniform(0.75, 1.15) * (0.8 if sheet else 1.0)
    pitch = float(organ.populations["epithelial"].length_um.mean) * (1.1 if sheet else 0.88)
    inflamed = soft_step(smooth(rng, size, px(45)) - rng.uniform(0.6, 2.0), 0.3) * stroma
    free = stroma * (1 - np.minimum(1.5 * fat, 1))
    seats = scatter(rng, room, per_mm2=14000 * crowded, population="epithelial", spacing_um=pitch)
    seats += scatter(rng, inflamed * (1 - fat), per_mm2=9000, population="lymphocyte", spacing_um=6)
    seats += scatter(rng, free, per_mm2=350, population="lymphocyte", spacing_um=8)
    seats += scatter(
        rng, free, per_mm2=1500, population="fibroblast", spacing_um=9, grain=grain, spread=0.25
    )
    return Tissue(cells=cells, void=void, grain=grain, seats=seats)


def _nests(
    rng: np.random.Generator, size: int, *, sheet: bool, xs: Field, ys: Field
) -> tuple[Field, Field]:
    """Epithelium and lumens."""
    if sheet:
        level = smooth(rng, size, px(50)) + rng.uniform(0.2, 1.3)
        return soft_step(level * px(10), px(0.6)), np.zeros((size, size))
    pitch = rng.uniform(45, 85)
    centres = lattice(rng, size, pitch, jitter=0.28)
    nearest, border = voronoi(centres, xs, ys)
    gap = px(rng.uniform(2.5, 10)) * rng.uniform(0.3, 1.6, len(centres))
    present = rng.random(len(centres)) < 0.88
    distance = np.hypot(xs - centres[nearest, 0], ys - centres[nearest, 1])
    depth = np.minimum(border - gap[nearest], px(0.62 * pitch) - distance)
    cells = soft_step(depth, px(0.6)) * present[nearest]
    hollow = rng.random(len(centres)) < 0.4
    radius = px(1) * rng.uniform(4, 10, len(centres)) * hollow
    lumen = soft_step(radius[nearest] - distance, 1.5) * cells * (radius > 0)[nearest]
    return cells, lumen


def _fat(rng: np.random.Generator, size: int, *, xs: Field, ys: Field) -> tuple[Field, Field]:
    """Fat cells (empty) and the region that they lie in."""
    angle = rng.uniform(0, 2 * np.pi)
    across = (xs - size / 2) * np.cos(angle) + (ys - size / 2) * np.sin(angle)
    region = soft_step(across - size * rng.uniform(0.1, 0.3), px(3))
    _, border = voronoi(lattice(rng, size, 58, jitter=0.2), xs, ys)
    return soft_step(border - px(1.0), 1.0) * region, region


def crypts(organ: Organ, rng: np.random.Generator, size: int) -> Tissue:
    """Colon: crypts of tall cells with goblet mucin, in a cellular lamina propria."""
    xs, ys = warped(rng, size, amount_um=3.0, scale_um=40.0)
    centres = lattice(rng, size, rng.uniform(62, 80), jitter=0.12)
    tilt, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.5)
    nearest, border = voronoi(centres, xs, ys)
    dx, dy = xs - centres[nearest, 0], ys - centres[nearest, 1]
    along = (dx * np.cos(tilt) + dy * np.sin(tilt)) / stretch
    across = dy * np.cos(tilt) - dx * np.sin(tilt)
    distance = np.hypot(along, across)
    outer = px(1) * rng.uniform(24, 31, len(centres))[nearest]
    inner = px(1) * rng.uniform(3, 9, len(centres))[nearest]
    depth = np.minimum(
        outer - distance, border - px(1.5) - px(1.2) * (1 + smooth(rng, size, px(18)))
    )
    cells = soft_step(depth, px(0.5))
    ragged = px(0.9) * smooth(rng, size, px(3)) + px(1.5) * smooth(rng, size, px(10))
    lumen = soft_step(inner + ragged - distance, 2.0) * cells
    radial = np.arctan2(across, along * stretch) + tilt
    # Nuclei stand in a band near the base, mucin between them and the lumen.
    basal = soft_step(px(4.0) - np.abs(depth - px(6.0)), px(0.8)) * (distance > inner + px(3))
    mucin = _mucin(rng, np.clip((depth - px(10)) / px(2), 0, 1) * (distance > inner + px(1)))
    stroma = 1 - cells
    seats = scatter(
        rng, basal, per_mm2=19000, population="columnar", spacing_um=4.8, grain=radial, spread=0.14
    )
    seats += scatter(rng, stroma, per_mm2=4200, population="plasma", spacing_um=7)
    seats += scatter(rng, stroma, per_mm2=3200, population="lymphocyte", spacing_um=6.5)
    seats += scatter(
        rng, stroma, per_mm2=2200, population="fibroblast", spacing_um=8, grain=radial + np.pi / 2
    )
    return Tissue(
        cells=cells,
        void=np.maximum(lumen, 0.68 * mucin),
        grain=tilt + 0.4 * smooth(rng, size, size * 0.5),
        seats=seats,
        haematoxylin=0.08 * mucin,
    )


def _mucin(rng: np.random.Generator, room: Field) -> Field:
    """Goblet vacuoles where there is room."""
    size = len(room)
    goblets = scatter(rng, room, per_mm2=9000, population="", spacing_um=6.5)
    field = np.zeros((size, size))
    for goblet in goblets:
        radius = px(rng.uniform(2.4, 4.0))
        stamp_disc(field, goblet.x, goblet.y, radius)
    uneven = 1 + 0.25 * smooth(rng, size, px(2))
    return np.clip(field * np.minimum(room * 2, 1) * uneven, 0, 1)


def tubules(organ: Organ, rng: np.random.Generator, size: int) -> Tissue:
    """Kidney: tubules packed closely, round nuclei in a row; part of a glomerulus in some."""
    xs, ys = warped(rng, size, amount_um=2.0, scale_um=30.0)
    pitch = rng.uniform(38, 50)
    centres = lattice(rng, size, pitch, jitter=0.15)
    nearest, border = voronoi(centres, xs, ys)
    distance = np.hypot(xs - centres[nearest, 0], ys - centres[nearest, 1])
    # Round off the corners of the cells, then leave a narrow interstitium.
    depth = np.minimum(border, px(0.58 * pitch) - distance) - px(rng.uniform(0.6, 2.0))
    distal = rng.random(len(centres)) < 0.35
    wide = px(1) * np.where(
        distal, rng.uniform(7, 11, len(centres)), rng.uniform(1.5, 4.5, len(centres))
    )
    ragged = px(1.0) * smooth(rng, size, px(3))
    cells = soft_step(depth, px(0.4))
    lumen = soft_step(wide[nearest] + ragged - distance, 2.0) * cells
    basal = soft_step(px(2.2) - np.abs(depth - px(5.0)), px(0.6)) * (lumen < 0.05)
    stroma = 1 - cells
    tuft, space = np.zeros((size, size)), np.zeros((size, size))
    if rng.random() < 0.45:
        tuft, space = _glomerulus(rng, size, xs, ys)
        outside = 1 - np.maximum(tuft, space)
        cells, lumen, basal, stroma = (f * outside for f in (cells, lumen, basal, stroma))
        lumen = np.maximum(lumen, space)
    seats = scatter(rng, basal, per_mm2=13000, population="tubular", spacing_um=7.4)
    seats += scatter(rng, stroma, per_mm2=5200, population="endothelial", spacing_um=9)
    seats += scatter(rng, tuft, per_mm2=9000, population="glomerular", spacing_um=6.5)
    loops = tuft * np.abs(smooth(rng, size, px(4.5)))
    pale = np.clip(distal[nearest] * cells, 0, 1)
    return Tissue(
        cells=cells,
        void=np.maximum(lumen, 0.75 * soft_step(loops - 1.25, 0.35) * tuft),
        grain=rng.uniform(0, np.pi) + 0.4 * smooth(rng, size, size * 0.5),
        seats=_along_borders(seats, nearest_centres=centres[nearest]),
        eosin=-0.15 * pale + 0.14 * tuft,
        haematoxylin=0.06 * tuft,
    )


def _along_borders(seats: list[Seat], *, nearest_centres: Field) -> list[Seat]:
    """Turns endothelial seats so that they lie along the tubule beside them."""
    turned = []
    for seat in seats:
        if seat.population == "endothelial":
            row = min(max(round(seat.y), 0), len(nearest_centres) - 1)
            column = min(max(round(seat.x), 0), len(nearest_centres) - 1)
            cx, cy = nearest_centres[row, column]
            angle = float(np.arctan2(seat.y - cy, seat.x - cx) + np.pi / 2)
            seat = Seat(seat.x, seat.y, angle, seat.population)
        turned.append(seat)
    return turned


def _glomerulus(rng: np.random.Generator, size: int, xs: Field, ys: Field) -> tuple[Field, Field]:
    """The capillary tuft and Bowman's space around it, centred near a corner or an edge."""
    x, y = rng.uniform(-0.1, 1.1, 2) * size
    distance = np.hypot(xs - x, ys - y) + px(2.5) * smooth(rng, size, px(18))
    radius = px(rng.uniform(38, 60))
    tuft = soft_step(radius - distance, px(0.5))
    space = soft_step(radius + px(rng.uniform(4, 8)) - distance, px(0.4)) - tuft
    return tuft, np.clip(space, 0, 1)
