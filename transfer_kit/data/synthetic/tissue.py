"""The ground on which nuclei settle, and the geometry that architectures share."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from transfer_kit.data.synthetic.noise import Field, smooth
from transfer_kit.data.synthetic.nuclei import Seat
from transfer_kit.data.synthetic.organ import MPP

Mask = NDArray[np.bool_]


@dataclass
class Tissue:
    """One image's compartments, before any nucleus.

    Attributes:
        cells: How much of a pixel is epithelium or tumour, 0 to 1; the rest is stroma.
        void: How much of a pixel is empty glass (lumen, fat, gaps), 0 to 1.
        grain: Direction of fibres, radians.
        seats: Where nuclei would settle, the most wanted first.
        eosin, haematoxylin: Extra optical density (mucin, basement membranes, fibrils).
        cell_centres: Cell bodies without a nucleus in the section `(N, 2)`, x, y.
        blood: Red blood cells `(N, 2)`, x, y.
        tumour: How much of a pixel lies in the tumour, its septa included, 0 to 1; None where an
            organ does not tell.
    """

    cells: Field
    void: Field
    grain: Field
    seats: list[Seat] = field(default_factory=list)
    eosin: Field | float = 0.0
    haematoxylin: Field | float = 0.0
    cell_centres: Field = field(default_factory=lambda: np.zeros((0, 2)))
    blood: Field = field(default_factory=lambda: np.zeros((0, 2)))
    tumour: Field | None = None

    @property
    def size(self) -> int:
        """Side of the square image, pixels."""
        return len(self.cells)


def px(length_um: float) -> float:
    """`length_um` in pixels of the drawing."""
    return length_um / MPP


def pixels(size: int) -> tuple[Field, Field]:
    """Coordinates x and y of all pixels, each `(size, size)`."""
    ys, xs = np.mgrid[:size, :size].astype(np.float64)
    return xs, ys


def warped(
    rng: np.random.Generator, size: int, *, amount_um: float, scale_um: float
) -> tuple[Field, Field]:
    """Pixel coordinates, displaced by smooth noise: what is round in them is wavy in the image."""
    xs, ys = pixels(size)
    xs = xs + px(amount_um) * smooth(rng, size, px(scale_um))
    ys = ys + px(amount_um) * smooth(rng, size, px(scale_um))
    return xs, ys


def soft_step(level: Field, width: float) -> Field:
    """0 where `level` is below -width, 1 above width, smooth between."""
    share = np.clip(0.5 + level / (2 * width), 0, 1)
    step: Field = share * share * (3 - 2 * share)
    return step


def lattice(
    rng: np.random.Generator, size: int, pitch_um: float, *, jitter: float = 0.25
) -> NDArray[np.float64]:
    """Centres of a jittered hexagonal lattice that covers the image and a margin, `(N, 2)`."""
    pitch = px(pitch_um)
    count = int(size / pitch) + 5
    rows, columns = np.mgrid[:count, :count].astype(np.float64)
    x = (columns + 0.5 * (rows % 2) - 2) * pitch
    y = (rows * 0.866 - 2) * pitch
    centres = np.stack([x.ravel(), y.ravel()], axis=1) + rng.random(2) * pitch
    moved: NDArray[np.float64] = centres + rng.normal(size=centres.shape) * jitter * pitch
    return moved


def voronoi(centres: Field, xs: Field, ys: Field) -> tuple[NDArray[np.intp], Field]:
    """The nearest of `centres` for each pixel, and the distance to its cell's border, pixels.

    Worked out at every second pixel and interpolated. The distance is exact midway between two
    centres and too large elsewhere.
    """
    tree = cKDTree(centres)
    where = np.stack([xs[::2, ::2], ys[::2, ::2]], axis=-1)
    found = tree.query(where, k=2)
    distance, index = np.asarray(found[0]), np.asarray(found[1], np.intp)[..., 0]
    border = (distance[..., 1] - distance[..., 0]) / 2
    size = len(xs)
    nearest = np.repeat(np.repeat(index, 2, axis=0), 2, axis=1)[:size, :size]
    return nearest, _doubled(border, size)


def _doubled(field: Field, size: int) -> Field:
    """`field` at twice the resolution, linearly, sample k at pixel 2k, cut to `size`."""
    for axis in (0, 1):
        ahead = np.roll(field, -1, axis)
        last = [slice(None), slice(None)]
        last[axis] = slice(-1, None)
        ahead[tuple(last)] = field[tuple(last)]
        field = np.stack([field, (field + ahead) / 2], axis=axis + 1).reshape(
            [n * (1 + (i == axis)) for i, n in enumerate(field.shape)]
        )
    return np.ascontiguousarray(field[:size, :size])


def stamp_disc(field: Field, x: float, y: float, radius: float) -> None:
    """Raises `field` to 1 in a soft disc, lengths in pixels."""
    size, reach = len(field), radius + 2
    top, bottom = max(int(y - reach), 0), min(int(y + reach) + 2, size)
    left, right = max(int(x - reach), 0), min(int(x + reach) + 2, size)
    ys, xs = np.mgrid[top:bottom, left:right].astype(np.float64)
    disc = soft_step(radius - np.hypot(xs - x, ys - y), 1.5)
    field[top:bottom, left:right] = np.maximum(field[top:bottom, left:right], disc)


def scatter(
    rng: np.random.Generator,
    weight: Field | Mask,
    *,
    per_mm2: float,
    population: str,
    spacing_um: float,
    grain: Field | None = None,
    spread: float = 0.3,
) -> list[Seat]:
    """Seats drawn at random where `weight` is high, no two nearer than `spacing_um`.

    Args:
        rng: Source of the places.
        weight: Density relative to `per_mm2`, `(H, W)`.
        per_mm2: Seats per mm² of weight 1 that are tried for.
        population: Kind of nucleus.
        spacing_um: Least distance between the centres of two seats.
        grain: Direction of the long axes; None for any direction.
        spread: Standard deviation about the grain, radians.
    """
    size = len(weight)
    cumulative = np.cumsum(np.ravel(weight), dtype=np.float64)
    wanted = rng.poisson(per_mm2 * cumulative[-1] * (MPP / 1000) ** 2)
    if wanted == 0 or cumulative[-1] <= 0:
        return []
    # More are tried than wanted, since most of the later ones fall too near to others.
    tries = np.searchsorted(cumulative, rng.random(4 * wanted) * cumulative[-1], side="right")
    tries = np.minimum(tries, size * size - 1)
    places = np.stack([tries % size, tries // size], axis=1) + rng.uniform(
        -0.5, 0.5, (len(tries), 2)
    )
    angles = rng.uniform(0, np.pi, len(tries))
    if grain is not None:
        angles = grain.ravel()[tries] + rng.normal(0, spread, len(tries))
    kept = apart(places, px(spacing_um))[:wanted]
    return [
        Seat(float(places[i, 0]), float(places[i, 1]), float(angles[i]), population) for i in kept
    ]


def apart(places: Field, distance_px: float) -> NDArray[np.intp]:
    """Which of `places`, from the first to the last, are no nearer than that to one kept before."""
    pairs = cKDTree(places).query_pairs(distance_px, output_type="ndarray")
    blocked = np.zeros(len(places), bool)
    # Sorted by the later of each pair, so that its earlier one is already decided.
    for early, late in pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]:
        if not blocked[early]:
            blocked[late] = True
    return np.flatnonzero(~blocked)
