"""Immunohistochemistry for Ki67: which nuclei are brown, and weak labels of tumour and the rest."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.synthetic.noise import Field, blurred, smooth
from transfer_kit.data.synthetic.nuclei import NucleusPainter
from transfer_kit.data.synthetic.organ import Ki67
from transfer_kit.data.synthetic.tissue import px, scatter, soft_step

POSITIVE = "immunopositive tumour"
NEGATIVE = "immunonegative tumour"
NON_TUMOUR = "non-tumour"
CLASSES = (POSITIVE, NEGATIVE, NON_TUMOUR)
REGIONS = ("tumour", "non-tumour")

EDGE_PX = 5  # how far a nucleus' soft edge reaches beyond its outline
LEAST_AREA_UM2 = 250.0  # a smaller patch of one kind is not worth a label


@dataclass(frozen=True, eq=False)
class Immunostained:
    """Dyes `(H, W)` in optical density, and the class of each nucleus."""

    dab: Field
    haematoxylin: Field
    classes: tuple[str, ...]


def immunostained(painter: NucleusPainter, stain: Ki67, rng: np.random.Generator) -> Immunostained:
    """Turn the nuclei that divide brown, and keep the counterstain of the others.

    Args:
        painter: The nuclei that found a seat.
        stain: Which populations are tumour, and how often nuclei are positive.
        rng: Of one case: its labelling index, hot spots, and each nucleus' strength.
    """
    canvas = painter.canvas
    positive = _positive(painter, stain, rng)
    strength = np.where(positive, _strengths(stain, len(positive), rng), 0.0)
    owner = _owner(canvas.instances)
    # Every nucleus at its own strength, with the relief that chromatin gives it.
    relief = canvas.haematoxylin / _means(canvas.haematoxylin, canvas.instances)[owner]
    of_pixel = np.concatenate([[0.0], strength])[owner]
    dab = of_pixel * np.clip(relief, 0, 1.8)
    blush = 0.08 * blurred(dab, px(1.6)) * (1 - canvas.cover)
    # Brown hides blue: what is left of the counterstain falls with the strength of the brown.
    haematoxylin = canvas.haematoxylin * (1 - 0.75 * np.clip(of_pixel / 0.5, 0, 1))
    tumourous = [kind in stain.tumour for kind in painter.kinds]
    classes = tuple(
        (POSITIVE if brown else NEGATIVE) if own else NON_TUMOUR
        for own, brown in zip(tumourous, positive, strict=True)
    )
    return Immunostained(dab + blush + _specks(rng, canvas.cover), haematoxylin, classes)


def _positive(painter: NucleusPainter, stain: Ki67, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which nuclei are positive: a case's index, more in its hot spots; few of the other kinds."""
    low, high = np.log(stain.index)
    index = float(np.exp(rng.uniform(low, high)))
    size = len(painter.canvas.instances)
    hot = np.exp(0.7 * smooth(rng, size, px(60)))
    hot /= hot.mean()
    chance = []
    for shape, kind in zip(painter.shapes, painter.kinds, strict=True):
        row, column = (int(np.clip(round(at), 0, size - 1)) for at in (shape.y, shape.x))
        own = index * hot[row, column] if kind in stain.tumour else stain.others.get(kind, 0.0)
        chance.append(own)
    return np.asarray(rng.random(len(chance)) < np.array(chance), np.bool_)


def _strengths(stain: Ki67, count: int, rng: np.random.Generator) -> Field:
    """Optical density of the brown, most of it strong, some weak but plainly brown."""
    strong, weak = stain.strong.draw(rng, count), stain.weak.draw(rng, count)
    return np.where(rng.random(count) < stain.share_weak, weak, strong)


def _owner(instances: NDArray[np.int32]) -> NDArray[np.int32]:
    """The nucleus that a pixel belongs to, soft edges included; 0 is none."""
    if not instances.any():
        return instances
    distance, nearest = distance_transform_edt(instances == 0, return_indices=True)
    owner: NDArray[np.int32] = np.where(distance <= EDGE_PX, instances[nearest[0], nearest[1]], 0)
    return owner


def _means(field: Field, instances: NDArray[np.int32]) -> Field:
    """Mean of `field` in each nucleus, by its number; 1 for what is none."""
    flat, count = instances.ravel(), int(instances.max()) + 1
    sums = np.bincount(flat, field.ravel(), count)
    means = sums / np.maximum(np.bincount(flat, minlength=count), 1)
    means[0] = 1.0
    return np.maximum(means, 1e-3)


def _specks(rng: np.random.Generator, cover: Field) -> Field:
    """Brown crumbs of chromogen, smaller than a nucleus and none."""
    size = len(cover)
    field = np.zeros((size, size))
    ys, xs = np.mgrid[:size, :size].astype(np.float64)
    for seat in scatter(rng, 1 - cover, per_mm2=60, population="", spacing_um=15):
        radius = px(rng.uniform(0.4, 1.1))
        reach = int(radius) + 3
        window = np.s_[
            max(int(seat.y) - reach, 0) : int(seat.y) + reach + 1,
            max(int(seat.x) - reach, 0) : int(seat.x) + reach + 1,
        ]
        distance = np.hypot(xs[window] - seat.x, ys[window] - seat.y)
        crumb = soft_step(radius - distance, 1.2) * rng.uniform(0.3, 0.9)
        field[window] = np.maximum(field[window], crumb)
    return field


def weak_regions(
    tumour: Field, *, scale: int, rng: np.random.Generator
) -> tuple[tuple[str, BaseGeometry], ...]:
    """Outlines as drawn by hand inside some of the tumour and some of the rest (Fig. 3c).

    Args:
        tumour: How much of a pixel of the drawing lies in the tumour.
        scale: Pixels of the drawing to one of the image, in which the outlines are given.
        rng: Of where they lie.
    """
    labels: list[tuple[str, BaseGeometry]] = []
    masks = (tumour > 0.5, tumour <= 0.5)
    for name, mask in zip(REGIONS, masks, strict=True):
        inner = distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1] > px(4.0)
        known = shapely.union_all(
            [drawn for _ in range(int(rng.integers(2, 5))) for drawn in _outline(inner, rng)]
        )
        large = (p for p in shapely.get_parts(known) if p.area >= LEAST_AREA_UM2 * px(1) ** 2)
        labels.extend((name, _in_image(part, scale)) for part in large)
    return tuple(labels)


def _outline(mask: NDArray[np.bool_], rng: np.random.Generator) -> list[BaseGeometry]:
    """A rounded, uneven outline around a place in `mask`, as far as the mask goes."""
    places = np.flatnonzero(mask)
    chosen, radius = rng.random(), px(rng.uniform(22, 48))
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    phases = rng.uniform(0, 2 * np.pi, 3)
    uneven = sum(0.13 * np.cos(k * angles + phase) for k, phase in enumerate(phases, start=2))
    if not len(places):
        return []
    row, column = divmod(int(places[int(chosen * len(places))]), mask.shape[1])
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (radius * (1 + uneven))[:, None]
    blob = Polygon(ring + np.array([column, row]))
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    parts = [Polygon(c[:, 0]).buffer(0) for c in contours if len(c) > 3]
    seen = shapely.intersection(blob.buffer(0), shapely.union_all(parts))
    return [part for part in shapely.get_parts(seen) if part.geom_type == "Polygon"]


def _in_image(outline: BaseGeometry, scale: int) -> BaseGeometry:
    """In pixels of the image, to a quarter, with as few corners as a hand would set."""
    return shapely.transform(
        outline.simplify(2.0), lambda at: np.rint(4 * ((at + 0.5) / scale - 0.5)) / 4
    )
