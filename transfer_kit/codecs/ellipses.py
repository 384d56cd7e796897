"""Ellipses around nuclei: circles of a given radius, or as large as what was drawn."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.errors import UserError

Floats = NDArray[np.float64]
Window = tuple[slice, slice]

_THINNEST_PX = 1e-3


@dataclass(frozen=True, eq=False)
class Ellipses:
    """Ellipses in an image, in pixels.

    Attributes:
        centres: `(N, 2)`, x and y.
        half_axes: `(N, 2)`, along the direction `angles` and across it.
        angles: `(N,)` in radians, from x towards y.
    """

    centres: Floats
    half_axes: Floats
    angles: Floats

    def __len__(self) -> int:
        return len(self.centres)

    @classmethod
    def circles(cls, centres: Points, radii_px: Floats) -> Ellipses:
        """Circles with `radii_px` `(N,)`."""
        half_axes = np.repeat(radii_px[:, None], 2, axis=1)
        return cls(centres.astype(np.float64), half_axes, np.zeros(len(centres)))

    def scaled(self, factors: Floats) -> Ellipses:
        """The ellipses enlarged about their centres by `factors` `(N,)`."""
        return Ellipses(self.centres, self.half_axes * factors[:, None], self.angles)

    def windows(self, size: tuple[int, int]) -> list[Window | None]:
        """Rows and columns of an image of `size` that hold each ellipse; None where none do."""
        cos, sin = np.cos(self.angles), np.sin(self.angles)
        along, across = self.half_axes.T
        reach = np.stack([np.hypot(along * cos, across * sin), np.hypot(along * sin, across * cos)])
        limits = np.array(size[::-1])
        first = np.clip(np.floor(self.centres - reach.T), 0, limits).astype(np.intp)
        beyond = np.clip(np.ceil(self.centres + reach.T) + 1, 0, limits).astype(np.intp)
        return [
            np.s_[top:bottom, left:right] if left < right and top < bottom else None
            for (left, top), (right, bottom) in zip(first.tolist(), beyond.tolist(), strict=True)
        ]

    def squares(self, number: int, window: Window) -> Floats:
        """The square of each pixel's distance from centre `number`, in half-axes; 1 on the rim."""
        rows, columns = window
        x = np.arange(columns.start, columns.stop) - self.centres[number, 0]
        y = (np.arange(rows.start, rows.stop) - self.centres[number, 1])[:, None]
        along, across = self.half_axes[number]
        if along == across:
            circle: Floats = (x**2 + y**2) / along**2
            return circle
        cos, sin = np.cos(self.angles[number]), np.sin(self.angles[number])
        ellipse: Floats = ((x * cos + y * sin) / along) ** 2 + ((y * cos - x * sin) / across) ** 2
        return ellipse


def ellipses_in_boxes(
    annotation: Annotation, size: tuple[int, int], *, codec: str
) -> tuple[Ellipses, NDArray[np.intp], list[Window]]:
    """The ellipse that fills the box of each nucleus, as drawn or around its outline or instance.

    A box is the smallest around its nucleus in any direction, so that it turns with the image.
    Outlines are whole also where they leave the image; an instance that reaches its edge is not.

    Args:
        annotation: With an outline for each nucleus, or an instance map.
        size: Height and width in pixels.
        codec: Named in errors.

    Returns:
        The ellipses; which nucleus each belongs to, from 0 on; and windows around the visible
        part of nuclei that the image cuts, whose boxes are unknown.

    Raises:
        UserError: a nucleus has a centre alone, or a box of no width or height.
    """
    outlines = annotation.outlines
    cut: list[Window] = []
    if len(annotation) and (not outlines or None in outlines):
        if annotation.instances is None:
            at = outlines.index(None) if outlines else 0
            raise UserError(
                f"The codec {codec!r} with shape 'ellipse' needs the extent of each nucleus, but "
                f"{_place(annotation, at)} is annotated by its centre alone; annotate boxes "
                "(COCO), outlines (GeoJSON) or instance masks, or set shape to 'circle'."
            )
        corners, owners, cut = _of_instances(annotation.instances)
    else:
        corners = [shapely.get_coordinates(outline) for outline in outlines]
        owners = list(range(len(corners)))
    boxes = [cv2.minAreaRect(np.float32(points)) for points in corners]
    for box, owner in zip(boxes, owners, strict=True):
        if min(box[1]) < _THINNEST_PX:
            raise UserError(
                f"The box of {_place(annotation, owner)} is {box[1][0]:g} x {box[1][1]:g} pixels "
                "and holds nothing; draw it anew or delete it."
            )
    ellipses = Ellipses(
        np.array([box[0] for box in boxes], np.float64).reshape(-1, 2),
        np.array([box[1] for box in boxes], np.float64).reshape(-1, 2) / 2,
        np.deg2rad([box[2] for box in boxes]),
    )
    return ellipses, np.array(owners, np.intp), cut


def _of_instances(instances: NDArray[np.int32]) -> tuple[list[Floats], list[int], list[Window]]:
    """The corners of the pixels of each whole instance, its owner, and windows of cut ones."""
    height, width = instances.shape
    corners: list[Floats] = []
    owners: list[int] = []
    cut: list[Window] = []
    for owner, window in enumerate(find_objects(instances)):
        if window is None:
            continue
        rows, columns = window
        if not (rows.start and columns.start and rows.stop < height and columns.stop < width):
            cut.append((rows, columns))
            continue
        y, x = np.nonzero(instances[window] == owner + 1)
        centres = np.stack([x + columns.start, y + rows.start], axis=1)
        half = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]])
        corners.append((centres[:, None] + half).reshape(-1, 2))
        owners.append(owner)
    return corners, owners, cut


def _place(annotation: Annotation, number: int) -> str:
    x, y = annotation.points[number]
    return f"the nucleus at x = {x:.0f}, y = {y:.0f}"
