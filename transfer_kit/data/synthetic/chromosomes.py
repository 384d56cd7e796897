"""Chromosomes of a dividing cell, stage by stage: rods that lie across each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from transfer_kit.data.synthetic.noise import Field
from transfer_kit.data.synthetic.tissue import soft_step


@dataclass(frozen=True, eq=False)
class Rods:
    """Chromosome arms as capsules, µm about the middle of the figure.

    Attributes:
        places: Middles `(N, 2)`, along the spindle's plate and across it.
        angles: `(N,)` radians, from along to across.
        lengths: `(N,)`.
        widths: `(N,)`.
    """

    places: Field
    angles: Field
    lengths: Field
    widths: Field


def drawn(rods: Rods, along: Field, across: Field, *, soft_um: float, ragged_um: Field) -> Field:
    """How much of a pixel is chromosome, 0 to 1; µm throughout."""
    depth = np.full(along.shape, -np.inf)
    for (u, v), angle, length, width in zip(
        rods.places, rods.angles, rods.lengths, rods.widths, strict=True
    ):
        cos, sin = np.cos(angle), np.sin(angle)
        du, dv = along - u, across - v
        beyond = np.maximum(np.abs(du * cos + dv * sin) - length / 2, 0)
        np.maximum(depth, width / 2 - np.hypot(beyond, dv * cos - du * sin), out=depth)
    return soft_step(depth + ragged_um, soft_um)


def _rods(
    rng: np.random.Generator, places: Field, angles: Field, *, length: float, width: float = 0.8
) -> Rods:
    count = len(places)
    return Rods(
        places,
        angles,
        length * rng.uniform(0.3, 1.5, count),
        width * rng.uniform(0.6, 1.5, count),
    )


def _plate(rng: np.random.Generator, *, length: float, thickness: float, bow: float = 0.0) -> Rods:
    """Chromosomes side by side across a line, some of which stand out; bowed by `bow` µm."""
    count = int(length / 0.24)
    u = np.linspace(-length / 2, length / 2, count) + rng.normal(0, 0.25, count)
    v = bow * ((2 * u / length) ** 2 - 1 / 3) + rng.normal(0, 0.14 * thickness, count)
    angles = np.pi / 2 + rng.normal(0, 0.4, count) + 0.5 * bow * u / length
    return _rods(rng, np.stack([u, v], axis=1), angles, length=max(thickness - 0.8, 0.3))


def _joined(*parts: Rods) -> Rods:
    return Rods(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("places", "angles", "lengths", "widths")
        )
    )


def _moved(rods: Rods, u: float, v: float, *, turn: float = 0.0) -> Rods:
    cos, sin = np.cos(turn), np.sin(turn)
    turned = rods.places @ np.array([[cos, sin], [-sin, cos]])
    return replace(rods, places=turned + np.array([u, v]), angles=rods.angles + turn)


def _strays(rng: np.random.Generator, most: int, *, reach: float) -> Rods:
    """Arms that have not joined the others."""
    count = int(rng.integers(0, most, endpoint=True))
    direction = rng.uniform(0, 2 * np.pi, count)
    away = reach * rng.uniform(0.6, 1.0, count)[:, None]
    places = away * np.stack([np.cos(direction), np.sin(direction)], axis=1)
    return _rods(rng, places, rng.uniform(0, np.pi, count), length=0.8, width=0.8)


def prometaphase(rng: np.random.Generator) -> Rods:
    """A tangle of arms, dense in its middle."""
    radius, count = rng.uniform(2.0, 3.2), int(rng.integers(34, 50))
    away = radius * np.sqrt(rng.random(count))
    direction = rng.uniform(0, 2 * np.pi, count)
    stretch = rng.uniform(0.6, 1.0)
    places = np.stack([away * np.cos(direction), stretch * away * np.sin(direction)], axis=1)
    angles = direction + rng.normal(0, 0.6, count)
    return _joined(_rods(rng, places, angles, length=1.5), _strays(rng, 2, reach=radius + 1.6))


def metaphase(rng: np.random.Generator) -> Rods:
    """The plate seen from its side."""
    length = rng.uniform(6.5, 10.5)
    plate = _plate(rng, length=length, thickness=rng.uniform(1.8, 3.2), bow=rng.normal(0, 0.35))
    return _joined(plate, _strays(rng, 1, reach=3.2))


def rosette(rng: np.random.Generator) -> Rods:
    """The plate seen from a pole: arms around a paler middle."""
    radius, count = rng.uniform(2.2, 3.0), int(rng.integers(24, 34))
    direction = np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.normal(0, 0.25, count)
    away = radius * rng.uniform(0.75, 1.15, count)
    places = away[:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=1)
    return _rods(rng, places, direction + rng.normal(0, 0.35, count), length=1.7)


def anaphase(rng: np.random.Generator) -> Rods:
    """Two plates on their way to the poles, their ends behind."""
    length, gap = rng.uniform(5.5, 8.5), rng.uniform(3.4, 6.0)
    return _pair(rng, length=length, gap=gap, thickness=rng.uniform(1.5, 2.2))


def telophase(rng: np.random.Generator) -> Rods:
    """Two short dense bars far apart, in what are almost two cells."""
    length, gap = rng.uniform(4.5, 6.0), rng.uniform(7.0, 9.5)
    return _pair(rng, length=length, gap=gap, thickness=rng.uniform(1.6, 2.1))


def _pair(rng: np.random.Generator, *, length: float, gap: float, thickness: float) -> Rods:
    bow = rng.uniform(0.2, 0.8)
    plates = [
        _moved(
            _plate(
                rng, length=length * rng.uniform(0.9, 1.1), thickness=thickness, bow=-side * bow
            ),
            rng.normal(0, 0.3),
            side * gap / 2,
            turn=rng.normal(0, 0.12),
        )
        for side in (-1, 1)
    ]
    return _joined(*plates)


STAGES: dict[str, Callable[[np.random.Generator], Rods]] = {
    "prometaphase": prometaphase,
    "metaphase": metaphase,
    "rosette": rosette,
    "anaphase": anaphase,
    "telophase": telophase,
}
