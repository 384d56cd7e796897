"""Architectures without glands: eye fascicles, liver plates, brain neuropil; and vessels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transfer_kit.data.synthetic.noise import Field, smooth
from transfer_kit.data.synthetic.nuclei import Seat
from transfer_kit.data.synthetic.organ import Organ
from transfer_kit.data.synthetic.tissue import (
    Tissue,
    lattice,
    pixels,
    px,
    scatter,
    soft_step,
    stamp_disc,
    voronoi,
    warped,
)


def fascicles(organ: Organ, rng: np.random.Generator, size: int) -> Tissue:
    """Uveal melanoma: streams of spindle cells, patches of epithelioid cells, thin septa."""
    direction = rng.uniform(0, np.pi)
    grain = direction + 0.7 * smooth(rng, size, size * 0.5)
    epithelioid = soft_step(smooth(rng, size, px(50)) - rng.uniform(-1.2, 1.8), 0.25)
    septa = soft_step(px(1.8) - np.abs(smooth(rng, size, px(70))) * px(22), px(0.6))
    septa = septa * (rng.random() < 0.6)
    loose = soft_step(smooth(rng, size, px(14)) - 2.1, 0.25) * rng.uniform(0.2, 0.9)
    cells = np.clip(1 - septa, 0, 1)
    room = cells * (1 - loose)
    crowded = rng.uniform(0.75, 1.15)
    seats = scatter(
        rng,
        room * epithelioid,
        per_mm2=5200 * crowded,
        population="epithelioid",
        spacing_um=10.5,
        grain=grain,
        spread=0.7,
    )
    seats += scatter(
        rng,
        room * (1 - epithelioid),
        per_mm2=8200 * crowded,
        population="spindle",
        spacing_um=6.4,
        grain=grain,
        spread=0.2,
    )
    seats += scatter(rng, septa + 0.08, per_mm2=900, population="lymphocyte", spacing_um=7)
    return Tissue(cells=cells, void=0.8 * loose, grain=grain, seats=seats)


def plates(organ: Organ, rng: np.random.Generator, size: int) -> Tissue:
    """Liver: plates of large granular cells between sinusoids; fat droplets in some."""
    xs, ys = warped(rng, size, amount_um=2.5, scale_um=25.0)
    centres = lattice(rng, size, rng.uniform(17.5, 20.5), jitter=0.14)
    _, border = voronoi(centres, xs, ys)
    # Sinusoids run between plates one or two cells thick and join into a network.
    wide = warped(rng, size, amount_um=6.0, scale_um=40.0)
    _, channel = voronoi(lattice(rng, size, rng.uniform(27, 36), jitter=0.3), *wide)
    width = px(rng.uniform(0.9, 1.8)) * np.maximum(1 + 0.5 * smooth(rng, size, px(14)), 0.1)
    sinusoid = soft_step(width - channel, px(0.5))
    membrane = soft_step(px(0.5) - border, px(0.5)) * (1 - sinusoid)
    fat = np.zeros((size, size))
    if rng.random() < 0.4:
        fat = _droplets(rng, size) * (1 - sinusoid)
    cells = 1 - sinusoid
    seats = []
    for x, y in centres:
        inside = 0 <= x < size and 0 <= y < size
        if inside and sinusoid[int(y), int(x)] + fat[int(y), int(x)] > 0.3:
            continue
        offsets = rng.normal(0, px(1.2), (2, 2))
        seats.append(
            Seat(x + offsets[0, 0], y + offsets[0, 1], rng.uniform(0, np.pi), "hepatocyte")
        )
        if rng.random() < 0.12:
            side = px(7.2) * np.array([np.cos(seats[-1].angle), np.sin(seats[-1].angle)])
            seats.append(
                Seat(seats[-1].x + side[0], seats[-1].y + side[1], seats[-1].angle, "hepatocyte")
            )
    slope_y, slope_x = np.gradient(channel)
    grain = np.arctan2(slope_y, slope_x) + np.pi / 2
    seats += scatter(
        rng, sinusoid, per_mm2=6000, population="endothelial", spacing_um=13, grain=grain
    )
    seats += scatter(rng, sinusoid, per_mm2=1500, population="lymphocyte", spacing_um=9)
    return Tissue(
        cells=cells,
        void=np.maximum(0.75 * sinusoid, fat),
        grain=grain,
        seats=seats,
        eosin=0.13 * membrane,
        cell_centres=centres,
        blood=_blood_in(rng, sinusoid),
    )


def _droplets(rng: np.random.Generator, size: int) -> Field:
    """Fat droplets, round and empty, many small and few large."""
    places = lattice(rng, size, rng.uniform(11, 16), jitter=0.3)
    radius = px(1) * np.clip(rng.normal(0.5, 2.6, len(places)), 0, 5.5)
    field = np.zeros((size, size))
    for (x, y), r in zip(places, radius, strict=True):
        if r > px(0.6) and -r < x < size + r and -r < y < size + r:
            stamp_disc(field, x, y, r)
    return field


def neuropil(organ: Organ, rng: np.random.Generator, size: int) -> Tissue:
    """Brain: a fibrillary ground with fine vacuoles, glial nuclei in uneven crowds."""
    grain = rng.uniform(0, np.pi) + 0.35 * smooth(rng, size, size * 0.5)
    crowd = np.exp(0.45 * smooth(rng, size, px(30)))
    vacuoles = soft_step(smooth(rng, size, px(2.6)) - rng.uniform(2.0, 2.8), 0.3)
    matrix = smooth(rng, size, px(8))
    oligo = rng.uniform(0.05, 0.5)
    density = rng.uniform(3000, 6200)
    seats = scatter(
        rng,
        crowd,
        per_mm2=density * (1 - oligo),
        population="glial",
        spacing_um=6.8,
        grain=grain,
        spread=0.6,
    )
    seats += scatter(
        rng, crowd, per_mm2=density * oligo, population="oligodendroglial", spacing_um=7.5
    )
    return Tissue(
        cells=np.zeros((size, size)),
        void=0.75 * vacuoles,
        grain=grain,
        seats=seats,
        eosin=0.045 * matrix,
    )


def with_vessels(tissue: Tissue, organ: Organ, rng: np.random.Generator) -> Tissue:
    """`tissue` with capillaries: an empty lumen, a wall, endothelium along it, red cells in it."""
    size = tissue.size
    for _ in range(min(int(rng.poisson(organ.vessels)), 3)):
        xs, ys = warped(rng, size, amount_um=0.8, scale_um=14.0)
        x, y = _in_stroma(tissue, rng)
        angle = rng.uniform(0, np.pi)
        short = px(rng.uniform(3.5, 7.0))
        long = short * rng.uniform(1.0, 4.0)
        u = (xs - x) * np.cos(angle) + (ys - y) * np.sin(angle)
        v = (ys - y) * np.cos(angle) - (xs - x) * np.sin(angle)
        level = (1 - np.hypot(u / long, v / short)) * short
        lumen = soft_step(level, px(0.3))
        wall = soft_step(level + px(rng.uniform(2.0, 4.0)), px(0.6)) - lumen
        keep = 1 - np.clip(lumen + wall, 0, 1)
        seats = [s for s in tissue.seats if _at(keep, s) > 0.5]
        tangent = np.arctan2(v / short**2, u / long**2) + angle + np.pi / 2
        ring = soft_step(px(0.8) - np.abs(level + px(1.6)), px(0.4))
        seats = (
            scatter(
                rng,
                ring,
                per_mm2=14000,
                population="endothelial",
                spacing_um=11,
                grain=tangent,
                spread=0.08,
            )
            + seats
        )
        tissue = replace(
            tissue,
            cells=tissue.cells * keep,
            void=np.maximum(tissue.void * keep, lumen),
            seats=seats,
            eosin=tissue.eosin * keep + 0.1 * wall,
            haematoxylin=tissue.haematoxylin * keep,
            blood=np.concatenate([tissue.blood, _blood_in(rng, lumen)]),
        )
    return tissue


def _in_stroma(tissue: Tissue, rng: np.random.Generator) -> tuple[float, float]:
    """A place outside epithelium, if a few tries find one."""
    tries = rng.uniform(0, tissue.size, (12, 2))
    cells = tissue.cells[tries[:, 1].astype(int), tries[:, 0].astype(int)]
    x, y = tries[int(np.argmin(np.rint(cells)))]
    return float(x), float(y)


def _at(field: Field, seat: Seat) -> float:
    last = len(field) - 1
    return float(field[min(max(round(seat.y), 0), last), min(max(round(seat.x), 0), last)])


def _blood_in(rng: np.random.Generator, lumen: Field) -> Field:
    """Red blood cells that lie in `lumen`."""
    full = rng.choice([0.0, 0.4, 1.0], p=[0.35, 0.35, 0.3])
    seats = scatter(rng, lumen**4, per_mm2=26000 * full, population="", spacing_um=4.6)
    return np.array([[s.x, s.y] for s in seats]).reshape(-1, 2)


def red_cells(centres: Field, rng: np.random.Generator, size: int) -> Field:
    """Optical density of red blood cells `(size, size)`: discs of 6.5 µm, paler in the middle."""
    density = np.zeros((size, size))
    if not len(centres):
        return density
    xs, ys = pixels(size)
    if len(centres) < 2:
        centres = np.concatenate([centres, [[-1e4, -1e4]]])
    radius = px(1) * rng.uniform(2.6, 3.5, len(centres))
    squash = rng.uniform(0.65, 1.0, len(centres))
    angle = rng.uniform(0, np.pi, len(centres))
    nearest, _ = voronoi(centres, xs, ys)
    dx, dy = xs - centres[nearest, 0], ys - centres[nearest, 1]
    cos, sin = np.cos(angle)[nearest], np.sin(angle)[nearest]
    distance = np.hypot(dx * cos + dy * sin, (dy * cos - dx * sin) / squash[nearest])
    disc = soft_step(radius[nearest] - distance, 1.2)
    return disc * (0.5 - 0.16 * soft_step(radius[nearest] * 0.45 - distance, 2.0))
