"""Nuclei: where they settle, their outlines, and their chromatin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.synthetic.noise import Field, band
from transfer_kit.data.synthetic.organ import MPP, Population

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Seat:
    """A place that a nucleus would take: centre in pixels, direction in radians, kind."""

    x: float
    y: float
    angle: float
    population: str


@dataclass(frozen=True)
class Shape:
    """An ellipse that is bent and whose radius wobbles; lengths in pixels.

    Attributes:
        x, y: Centre.
        angle: Direction of the long axis, radians.
        a, b: Half axes.
        bend: How far the tips leave the axis.
        wobble: Complex amplitudes of the radius' second to fifth harmonic.
    """

    x: float
    y: float
    angle: float
    a: float
    b: float
    bend: float
    wobble: Complex

    def depth(self, xs: Field, ys: Field) -> Field:
        """Distance to the outline, pixels, positive inside; exact to first order near it."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        dx, dy = xs - self.x, ys - self.y
        u = (dx * cos + dy * sin) / self.a
        v = (dy * cos - dx * sin - self.bend * (u * u - 0.3)) / self.b
        rho = np.sqrt(u * u + v * v) + 1e-9
        unit = (u + 1j * v) / rho
        power, radius = unit, np.ones_like(rho)
        for amplitude in self.wobble:
            power = power * unit
            radius += (amplitude * power).real
        slope = np.maximum(np.sqrt((u / self.a) ** 2 + (v / self.b) ** 2) / rho, 1 / self.a)
        inside: Field = (1 - rho / radius) / slope
        return inside


@dataclass
class Canvas:
    """What the nuclei leave behind.

    Attributes:
        instances: Instance map `(H, W)` int32: the nucleus that lies on top owns the pixel.
        haematoxylin: Optical density of nuclei alone.
        cover: How much of a pixel is nucleus, 0 to 1, soft at the outlines.
        halo: How much a pixel lies in a clear halo, 0 to 1.
    """

    instances: NDArray[np.int32]
    haematoxylin: Field
    cover: Field
    halo: Field

    @classmethod
    def empty(cls, size: int) -> Canvas:
        """A canvas without nuclei."""
        blank = np.zeros((size, size))
        return cls(np.zeros((size, size), np.int32), blank, blank.copy(), blank.copy())


@dataclass(frozen=True)
class Look:
    """One nucleus' own density and focus."""

    density: float
    edge_px: float
    halo: bool
    halo_side: tuple[float, float]
    nucleoli: Field  # (n, 3): u and v in half axes, radius in pixels


class NucleusPainter:
    """Settles nuclei on a canvas, one by one.

    Args:
        size: Of the square image, pixels.
        populations: Kinds of nuclei by name.
        scale: Factor on all nuclear lengths (one case's nuclear size).
        rng: Source of shapes and looks.
        overlap: Most that a nucleus may cover of another, as a share of either.

    Attributes:
        canvas: What has been drawn.
        shapes: The nuclei, in the order of their instances.
        kinds: The population of each.
    """

    MARGIN = 6  # pixels around a nucleus that its edge and halo reach

    def __init__(
        self,
        size: int,
        populations: dict[str, Population],
        *,
        scale: float,
        rng: np.random.Generator,
        overlap: float = 0.16,
    ) -> None:
        self.canvas = Canvas.empty(size)
        self.shapes: list[Shape] = []
        self.kinds: list[str] = []
        self._populations = populations
        self._scale = scale / MPP
        self._rng = rng
        self._overlap = overlap
        self._full_areas: list[int] = [0]
        self._areas: list[int] = [0]
        chromatin = band(rng, 512, 1.1, 4.0)
        # Clumps stand out darker than the gaps between them are light.
        self._chromatin = chromatin + 0.35 * np.maximum(chromatin - 0.8, 0)

    def settle(self, seats: Sequence[Seat]) -> None:
        """Takes each seat in turn, unless it is outside or too much is covered there."""
        names = sorted({seat.population for seat in seats})
        drawn = {
            name: self._draw(name, [s for s in seats if s.population == name]) for name in names
        }
        turn = {name: iter(pairs) for name, pairs in drawn.items()}
        for seat in seats:
            shape, look = next(turn[seat.population])
            if self._paint(shape, look, self._populations[seat.population]):
                self.kinds.append(seat.population)

    def _draw(self, name: str, seats: Sequence[Seat]) -> list[tuple[Shape, Look]]:
        kind, rng, count = self._populations[name], self._rng, len(seats)
        a = kind.length_um.draw(rng, count) * self._scale / 2
        b = a / np.maximum(kind.aspect.draw(rng, count), 1.0)
        density = kind.haematoxylin.draw(rng, count)
        bend = rng.normal(0, kind.bend, count) * b
        wobble = rng.normal(size=(count, 4)) + 1j * rng.normal(size=(count, 4))
        wobble *= kind.irregularity / np.array([1.2, 1.2, 2.6, 4.0])
        soft = rng.random(count) < kind.soft
        edge = np.where(soft, rng.uniform(3.0, 5.0, count), rng.uniform(1.0, 2.0, count))
        density = density * np.where(soft, rng.uniform(0.72, 0.9, count), 1.0)
        halo = rng.random(count) < kind.halo
        sides = rng.uniform(0, 2 * np.pi, count)
        fewest, most = kind.nucleoli
        spots = rng.integers(fewest, most, count, endpoint=True)
        pairs = []
        for i, seat in enumerate(seats):
            angle = 2 * np.pi * rng.random(spots[i])
            reach = rng.uniform(0.05, 0.5, spots[i])
            radius = kind.nucleolus_um / 2 / MPP * rng.uniform(0.75, 1.2, spots[i])
            nucleoli = np.stack([reach * np.cos(angle), reach * np.sin(angle), radius], axis=1)
            shape = Shape(seat.x, seat.y, seat.angle, a[i], b[i], bend[i], wobble[i])
            side = (float(np.cos(sides[i])), float(np.sin(sides[i])))
            pairs.append((shape, Look(density[i], edge[i], bool(halo[i]), side, nucleoli)))
        return pairs

    def _paint(self, shape: Shape, look: Look, kind: Population) -> bool:
        """Draws the nucleus if its place can be claimed, and says whether it was."""
        size = len(self.canvas.instances)
        reach = 1.15 * shape.a + abs(shape.bend) + self.MARGIN
        top, bottom = max(int(shape.y - reach), 0), min(int(shape.y + reach) + 1, size)
        left, right = max(int(shape.x - reach), 0), min(int(shape.x + reach) + 1, size)
        if bottom - top < 3 or right - left < 3:
            return False
        window = np.s_[top:bottom, left:right]
        ys, xs = np.mgrid[top:bottom, left:right].astype(np.float64)
        depth = shape.depth(xs, ys)
        if not self._claim(window, depth > 0, full_area=np.pi * shape.a * shape.b):
            return False
        self.shapes.append(shape)
        self._stain(window, depth, look=look, kind=kind, shape=shape, xs=xs, ys=ys)
        return True

    def _claim(
        self, window: tuple[slice, slice], mask: NDArray[np.bool_], full_area: float
    ) -> bool:
        """Enters the nucleus into the instance map, unless it spoils another or is a sliver."""
        area = int(mask.sum())
        if area < 0.3 * full_area or _pieces(mask) > 1:
            return False
        instances = self.canvas.instances[window]
        covered = instances[mask]
        losses = np.bincount(covered) if covered.any() else np.zeros(1, np.int64)
        hit = np.flatnonzero(losses[1:]) + 1
        if losses[1:].sum() > self._overlap * area:
            return False
        for other in hit:
            left = self._areas[other] - losses[other]
            if left < (1 - self._overlap) * self._full_areas[other]:
                return False
            if _pieces((instances == other) & ~mask) > 1:
                return False
        for other in hit:
            self._areas[other] -= int(losses[other])
        instances[mask] = len(self._areas)
        self._areas.append(area)
        self._full_areas.append(area)
        return True

    def _stain(
        self,
        window: tuple[slice, slice],
        depth: Field,
        *,
        look: Look,
        kind: Population,
        shape: Shape,
        xs: Field,
        ys: Field,
    ) -> None:
        canvas, rng = self.canvas, self._rng
        inside = np.clip(0.5 + depth / (2 * look.edge_px), 0, 1)
        inside = inside * inside * (3 - 2 * inside)
        height, width = depth.shape
        top, left = rng.integers(0, 512 - height), rng.integers(0, 512 - width)
        grain = self._chromatin[top : top + height, left : left + width]
        sharp = 1.0 if look.edge_px < 2.5 else 0.45
        rim = np.clip(1 - np.abs(depth - 1.2) / 2.2, 0, 1)
        body = 1 - 0.35 * kind.rim + sharp * (kind.rim * rim + kind.chromatin * grain)
        cos, sin = np.cos(shape.angle), np.sin(shape.angle)
        for u, v, radius in look.nucleoli:
            x = shape.x + u * shape.a * cos - v * shape.b * sin
            y = shape.y + u * shape.a * sin + v * shape.b * cos
            distance = np.sqrt((xs - x) ** 2 + (ys - y) ** 2)
            body = body + sharp * 0.9 * np.clip((radius + 0.8 - distance) / 1.6, 0, 1)
        density = look.density * inside * np.maximum(body, 0.35)
        before = canvas.haematoxylin[window]
        # Two nuclei in the depth of the section absorb one after the other, but each is thinner.
        canvas.haematoxylin[window] = np.maximum(before, density) + 0.3 * np.minimum(
            before, density
        )
        canvas.cover[window] = np.maximum(canvas.cover[window], inside)
        if look.halo:
            # Shrinkage leaves a crescent rather than a ring.
            side = xs * look.halo_side[0] + ys * look.halo_side[1]
            side = side - shape.x * look.halo_side[0] - shape.y * look.halo_side[1]
            ring = np.clip(1 - np.abs(depth + 2.0) / 3.0, 0, 1) * np.clip(
                0.6 + side / shape.a, 0, 1
            )
            canvas.halo[window] = np.maximum(canvas.halo[window], ring)


def _pieces(mask: NDArray[np.bool_]) -> int:
    """How many 4-connected pieces `mask` has."""
    return int(cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0]) - 1
