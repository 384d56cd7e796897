"""Dividing cells among their look-alikes: what of a drawn tumour a pathologist would count.

A mitotic figure is chromosomes without a membrane around them: rods that lie across each other, so
that its edge is ragged, in a rounded cell whose cytoplasm is clear. Cells that die are as dark, but
smooth and round, in shrunken pink cytoplasm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from transfer_kit.data.annotation import Points
from transfer_kit.data.synthetic.chromosomes import STAGES, Rods, drawn
from transfer_kit.data.synthetic.noise import Field, blurred, smooth
from transfer_kit.data.synthetic.nuclei import Canvas, NucleusPainter, Seat
from transfer_kit.data.synthetic.organ import MPP, Mitoses
from transfer_kit.data.synthetic.tissue import Tissue, apart, px, soft_step

CLASS_NAME = "mitosis"
APOPTOTIC = "apoptotic"

Window = tuple[slice, slice]

MARGIN_UM = 6.0  # figures lie wholly in the image
CELL_UM = 11.5  # diameter of the least room of a dividing cell
REACH_UM = 13.0  # from its centre, as far as anything is drawn


@dataclass(frozen=True)
class Figure:
    """One dividing cell: where it is, the direction of its plate, and a key of `STAGES`."""

    x: float
    y: float
    angle: float
    stage: str


def with_mitoses(
    tissue: Tissue, mitoses: Mitoses, rng: np.random.Generator
) -> tuple[Tissue, list[Figure]]:
    """`tissue` in which some cells divide, and some of the others look as if they did.

    Args:
        tissue: With the seats of its nuclei.
        mitoses: How many, and what resembles them.
        rng: Of one case, which sets how many there are: in some none.

    Returns:
        The tissue, without the nuclei in whose place a figure is, and the figures.
    """
    area_mm2 = (tissue.size * MPP / 1000) ** 2
    own = [n for n, s in enumerate(tissue.seats) if s.population == mitoses.of]
    rng.shuffle(own)
    wanted = rng.poisson(
        mitoses.per_mm2 * area_mm2 * rng.gamma(mitoses.evenness) / mitoses.evenness
    )
    figures = [
        Figure(seat.x, seat.y, rng.uniform(0, np.pi), _stage(mitoses, rng))
        for seat in _roomy([tissue.seats[n] for n in own], tissue, wanted)
    ]
    left = [
        seat
        for seat in tissue.seats
        if all(np.hypot(seat.x - f.x, seat.y - f.y) > px(0.78 * CELL_UM) for f in figures)
    ]
    seats = _with_look_alikes(left, mitoses, area_mm2, rng)
    centres = np.array([[f.x, f.y] for f in figures]).reshape(-1, 2)
    cells = np.concatenate([tissue.cell_centres, centres])
    return replace(tissue, seats=seats, cell_centres=cells), figures


def _stage(mitoses: Mitoses, rng: np.random.Generator) -> str:
    names = list(mitoses.stages)
    shares = np.array([mitoses.stages[name] for name in names])
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def _roomy(seats: Sequence[Seat], tissue: Tissue, count: int) -> list[Seat]:
    """The first `count` seats well inside the image and the epithelium, and apart."""
    solid = blurred(tissue.cells * (1 - tissue.void), px(2.5)) > 0.85
    low, high = px(MARGIN_UM), tissue.size - 1 - px(MARGIN_UM)
    inside = [
        s for s in seats if low <= s.x <= high and low <= s.y <= high and solid[int(s.y), int(s.x)]
    ]
    if not inside:
        return []
    places = np.array([[s.x, s.y] for s in inside])
    return [inside[n] for n in apart(places, px(2.2 * CELL_UM))[:count]]


def _with_look_alikes(
    seats: Sequence[Seat], mitoses: Mitoses, area_mm2: float, rng: np.random.Generator
) -> list[Seat]:
    """The seats, some of them of other populations, which settle first."""
    order = rng.permutation(len(seats))
    changed: dict[int, str] = {}
    start = 0
    for population, per_mm2 in mitoses.look_alikes.items():
        count = int(rng.poisson(per_mm2 * area_mm2))
        changed.update((int(n), population) for n in order[start : start + count])
        start += count
    first = [replace(seats[n], population=population) for n, population in changed.items()]
    return first + [seat for n, seat in enumerate(seats) if n not in changed]


def shrunken(
    tissue: Tissue, painter: NucleusPainter, mitoses: Mitoses, rng: np.random.Generator
) -> Tissue:
    """`tissue` with the pink cytoplasm of dying cells; the canvas gets their gaps and fragments."""
    size, canvas = tissue.size, painter.canvas
    eosin = np.zeros((size, size))
    for shape, kind in zip(painter.shapes, painter.kinds, strict=True):
        if kind != APOPTOTIC:
            continue
        window, xs, ys = _window(size, shape.x, shape.y, px(REACH_UM))
        aside = px(0.8) * rng.normal(size=2)
        flat = rng.uniform(0.8, 1.25)
        distance = np.hypot(xs - shape.x - aside[0], (ys - shape.y - aside[1]) * flat)
        body = max(shape.a + px(0.5), px(rng.uniform(2.8, 4.8)))
        inside = soft_step(body - distance, px(0.4))
        pink = mitoses.pink.draw(rng, 1)[0] * inside
        eosin[window] = np.maximum(eosin[window], pink)
        gap = soft_step(px(0.7) - np.abs(distance - body - px(0.7)), px(0.6))
        halo = canvas.halo[window]
        np.maximum(halo * (1 - inside), max(rng.uniform(-0.6, 1.2), 0.0) * gap, out=halo)
        _fragments(canvas, window, xs - shape.x, ys - shape.y, body=body, rng=rng)
    return replace(tissue, eosin=tissue.eosin + eosin)


def _fragments(
    canvas: Canvas,
    window: Window,
    xs: Field,
    ys: Field,
    *,
    body: float,
    rng: np.random.Generator,
) -> None:
    """Round, smooth crumbs into which some dying nuclei have fallen."""
    for _ in range(int(rng.choice([0, 1, 2, 4], p=[0.45, 0.25, 0.15, 0.15]))):
        direction, radius = rng.uniform(0, 2 * np.pi), px(rng.uniform(0.5, 1.3))
        x, y = body * rng.uniform(0.4, 0.9) * np.array([np.cos(direction), np.sin(direction)])
        crumb = soft_step(radius - np.hypot(xs - x, ys - y), 1.5)
        density = rng.uniform(0.9, 1.4) * crumb
        canvas.haematoxylin[window] = np.maximum(canvas.haematoxylin[window], density)
        canvas.cover[window] = np.maximum(canvas.cover[window], crumb)


def paint(
    canvas: Canvas, figures: Sequence[Figure], mitoses: Mitoses, rng: np.random.Generator
) -> Points:
    """Draw the figures onto the canvas and give back their centroids `(N, 2)`, x and y."""
    points = []
    for figure in figures:
        window, xs, ys = _window(len(canvas.cover), figure.x, figure.y, px(REACH_UM))
        cos, sin = np.cos(figure.angle), np.sin(figure.angle)
        along = ((xs - figure.x) * cos + (ys - figure.y) * sin) / px(1)
        across = ((ys - figure.y) * cos - (xs - figure.x) * sin) / px(1)
        rods = STAGES[figure.stage](rng)
        focus = rng.uniform(0.18, 0.4) if rng.random() > mitoses.soft else rng.uniform(0.6, 0.9)
        ragged, grain = (
            smooth(rng, max(xs.shape), s)[: len(xs), : xs.shape[1]] for s in (4.0, 6.0)
        )
        chromatin = drawn(rods, along, across, soft_um=focus, ragged_um=0.12 * ragged)
        density = mitoses.haematoxylin.draw(rng, 1)[0] * chromatin * (1 + 0.1 * grain)
        canvas.haematoxylin[window] = np.maximum(canvas.haematoxylin[window], density)
        canvas.cover[window] = np.maximum(canvas.cover[window], chromatin)
        room = _cell(rods, along, across, rng)
        clear = mitoses.clearing.draw(rng, 1)[0] * room * (1 - canvas.cover[window])
        canvas.halo[window] = np.maximum(canvas.halo[window], clear)
        mass = chromatin > 0.5
        points.append([xs[mass].mean(), ys[mass].mean()])
    return np.array(points, np.float32).reshape(-1, 2)


def _window(size: int, x: float, y: float, reach: float) -> tuple[Window, Field, Field]:
    top, bottom = max(int(y - reach), 0), min(int(y + reach) + 2, size)
    left, right = max(int(x - reach), 0), min(int(x + reach) + 2, size)
    ys, xs = np.mgrid[top:bottom, left:right].astype(np.float64)
    return np.s_[top:bottom, left:right], xs, ys


def _cell(rods: Rods, along: Field, across: Field, rng: np.random.Generator) -> Field:
    """The rounded cell around the chromosomes, 0 to 1."""
    reach = np.abs(rods.places).max(axis=0)
    room = np.maximum(reach + 2.0, CELL_UM / 2) * rng.uniform(0.9, 1.15, 2)
    distance = np.hypot(along / room[0], across / room[1])
    return soft_step((1 - distance) * room.min(), 0.9)
