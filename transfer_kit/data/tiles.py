"""Large images as tiles, each an image by itself with the case of the whole."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.regions import crop_annotation


class Window(NamedTuple):
    """A rectangle of pixels of an image."""

    x0: int
    y0: int
    width: int
    height: int

    @property
    def x1(self) -> int:
        """The column after the last."""
        return self.x0 + self.width

    @property
    def y1(self) -> int:
        """The row after the last."""
        return self.y0 + self.height

    @classmethod
    def between(cls, x0: int, y0: int, x1: int, y1: int) -> Window:
        """From column `x0` and row `y0` up to, not including, `x1` and `y1`."""
        return cls(x0, y0, x1 - x0, y1 - y0)

    def grown(self, by: int, size: tuple[int, int]) -> Window:
        """Wider by so many pixels on each side, within an image `(height, width)`."""
        return Window.between(
            max(0, self.x0 - by),
            max(0, self.y0 - by),
            min(size[1], self.x1 + by),
            min(size[0], self.y1 + by),
        )

    def holds(self, points: Points) -> NDArray[np.bool_]:
        """Whether each of the points `(N, 2)` is nearest to one of its pixels."""
        pixels = np.floor(points + 0.5)
        return np.asarray(np.all((pixels >= self[:2]) & (pixels < (self.x1, self.y1)), axis=1))


def windows_of(size: tuple[int, int], tile_px: int) -> list[Window]:
    """The whole tiles of an image `(height, width)`, row by row, and those cut at its far edges.

    A remainder smaller than half a tile is given to the tile before it.
    """
    height, width = size
    return [
        Window(x0, y0, x1 - x0, y1 - y0)
        for y0, y1 in _pieces(height, tile_px)
        for x0, x1 in _pieces(width, tile_px)
    ]


def _pieces(length: int, tile_px: int) -> list[tuple[int, int]]:
    count = max(1, int(length / tile_px + 0.5))
    edges = [*(tile_px * i for i in range(count)), length]
    return list(pairwise(edges))


def annotation_in(annotation: Annotation, window: Window) -> Annotation:
    """What is known of a tile, as if it had been published as an image by itself.

    A nucleus that the edge cuts is kept where its centre lies inside, or where its instance can
    be seen: then the centre of its visible part is its point.
    """
    cropped = crop_annotation(annotation, **window._asdict())
    if cropped.instances is None:
        return cropped
    outside = np.any(
        (cropped.points < -0.5) | (cropped.points > np.array(window[2:]) - 0.5), axis=1
    )
    if not outside.any():
        return cropped
    points = cropped.points.copy()
    points[outside] = _visible_centres(cropped.instances, len(points))[outside]
    return replace(cropped, points=points)


def _visible_centres(instances: NDArray[np.int32], count: int) -> Points:
    """Mean position of the pixels of instances 1 to `count`; NaN where there is none."""
    ys, xs = np.nonzero(instances)
    numbers = instances[ys, xs]
    pixels = np.bincount(numbers, minlength=count + 1)[1:]
    with np.errstate(invalid="ignore"):
        centres = [
            np.bincount(numbers, weights=axis, minlength=count + 1)[1:] / pixels
            for axis in (xs, ys)
        ]
    return np.stack(centres, axis=1).astype(np.float32)
