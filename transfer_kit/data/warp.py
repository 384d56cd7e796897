"""One smooth map from a patch to its image, by which pixels, labels and points move alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.augment import Augmentation
from transfer_kit.data.regions import keep_visible

# The field's slope stays below about 0.5 (see Augmentation), so 16 rounds leave under 1e-4 px.
_ROUNDS = 16
# OpenCV's remap takes images and maps below 32 767 pixels a side.
_MOST_COLUMNS = 32_000


@dataclass(frozen=True, eq=False)
class Warp:
    """Patch pixel p shows image position `centre + linear · (p − c + displacement(p))`.

    c is the patch's own centre, `((width − 1) / 2, (height − 1) / 2)`. Albumentations moves key
    points through an elastic field by a mask or a search, slower and less exactly than here.

    Attributes:
        centre: x, y in the image.
        linear: `(2, 2)`, from patch pixels to image pixels.
        size: Height and width of the patch.
        margin: Pixels around the patch in which points are still followed.
        displacement: `(height + 2 margin, width + 2 margin, 2)` float32 x, y in patch pixels;
            None where the map is affine.
    """

    centre: tuple[float, float]
    linear: NDArray[np.float64]
    size: tuple[int, int]
    margin: int = 0
    displacement: NDArray[np.float32] | None = None

    @cached_property
    def source(self) -> NDArray[np.float32]:
        """Image position `(height, width, 2)` float32 x, y of every patch pixel."""
        grid = _grid(self.size)
        if self.displacement is not None:
            m, (height, width) = self.margin, self.size
            grid = grid + self.displacement[m : m + height, m : m + width]
        matrix = np.column_stack([self.linear, self.centre])
        source: NDArray[np.float32] = cv2.transform(grid, matrix)
        return source

    @cached_property
    def _bounds(self) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """First and last image pixel x, y that interpolation may touch."""
        rows_low = cv2.reduce(self.source, 0, cv2.REDUCE_MIN)
        rows_high = cv2.reduce(self.source, 0, cv2.REDUCE_MAX)
        low, high = np.floor(rows_low.min((0, 1))), np.ceil(rows_high.max((0, 1)))
        return low.astype(int) - 2, high.astype(int) + 3

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The patch `(height, width, 3)`; mirrored at the image's edges beyond them."""
        # A crop, mirrored or turned by quarters, is copied to the byte.
        exact = self.displacement is None and bool(np.all(np.rint(self.linear) == self.linear))
        return self._remap(
            image, cv2.INTER_NEAREST if exact else cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101
        ).astype(np.uint8, copy=False)

    def labels(self, labels: NDArray[np.uint8] | NDArray[np.int32]) -> NDArray[np.int32]:
        """The patch `(height, width)` of a label map, by nearest pixel; 0 beyond the image."""
        return self._remap(labels, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT).astype(np.int32)

    def inside(self, image_size: tuple[int, int]) -> NDArray[np.bool_]:
        """Which patch pixels `(height, width)` show the image, of `(height, width)`, itself."""
        x, y = self.source[..., 0], self.source[..., 1]
        height, width = image_size
        # Half-even rounding as in nearest-neighbour look-up, so that both agree on the edge.
        x, y = np.rint(x), np.rint(y)
        inside: NDArray[np.bool_] = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        return inside

    def points(self, points: Points) -> Points:
        """Where image positions `(N, 2)` lie in the patch: the inverse map, by fixed point.

        Those farther than `margin` from the patch move with its affine part alone.
        """
        height, width = self.size
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        relative = points.astype(np.float64) - self.centre
        wanted: Points = (relative @ np.linalg.inv(self.linear).T + middle).astype(np.float32)
        if self.displacement is None or not len(wanted):
            return wanted
        reach = self.margin + float(np.abs(self.displacement).max())
        near = np.all((wanted > -reach) & (wanted < np.array([width, height]) + reach), axis=1)
        found = start = wanted[near]
        for _ in range(_ROUNDS if len(start) else 0):
            found = start - self._displacement_at(found)
        wanted[near] = found
        return wanted

    def geometry(self, geometry: BaseGeometry) -> BaseGeometry:
        """A polygon, line or point of the image in the coordinates of the patch."""
        if self.displacement is not None:
            # Straight edges become curves, so they are given vertices to bend at.
            geometry = shapely.segmentize(geometry, max(4.0, 8 * abs(np.linalg.det(self.linear))))
        return shapely.transform(
            geometry, lambda positions: self.points(positions.astype(np.float32)).astype(float)
        )

    def annotation(self, annotation: Annotation) -> Annotation:
        """Nuclei and region labels in the patch and its margin; the labelled region is left out.

        Kept are nuclei whose centre lies within the margin, or of whose instance a pixel shows.
        """
        height, width = self.size
        moved = self.points(annotation.points)
        low, high = -0.5 - self.margin, np.array([width, height]) - 0.5 + self.margin
        keep = np.all((moved >= low) & (moved <= high), axis=1)
        instances = None
        if annotation.instances is not None:
            instances, keep = keep_visible(self.labels(annotation.instances), keep)
        kept = np.flatnonzero(keep)
        return Annotation(
            points=moved[kept],
            classes=tuple(annotation.classes[i] for i in kept),
            instances=instances,
            outlines=self._outlines(annotation, kept),
            region_labels=self._region_labels(annotation),
            properties=tuple(annotation.properties[i] for i in kept)
            if annotation.properties
            else (),
        )

    def _outlines(
        self, annotation: Annotation, kept: NDArray[np.intp]
    ) -> tuple[BaseGeometry | None, ...]:
        if not annotation.outlines:
            return ()
        outlines = (annotation.outlines[i] for i in kept)
        return tuple(None if outline is None else self.geometry(outline) for outline in outlines)

    def _region_labels(self, annotation: Annotation) -> tuple[tuple[str, BaseGeometry], ...]:
        if not annotation.region_labels:
            return ()
        (left, top), (right, bottom) = self._bounds
        return tuple(
            (name, self.geometry(region))
            for name, region in annotation.region_labels
            if _overlaps(region, (float(left), float(top), float(right), float(bottom)))
        )

    def _displacement_at(self, positions: Points) -> Points:
        parts = [
            cv2.remap(
                self.displacement,
                (positions[first : first + _MOST_COLUMNS] + self.margin)[None],
                None,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )[0]
            for first in range(0, len(positions), _MOST_COLUMNS)
        ]
        return np.concatenate(parts)

    def _remap(
        self, image: NDArray[np.generic], interpolation: int, border: int
    ) -> NDArray[np.generic]:
        """Look the map up in the part of the image that it needs: OpenCV's maps are bounded."""
        height, width = image.shape[:2]
        low, high = self._bounds
        x0, x1 = _overlap(low[0], high[0], width)
        y0, y1 = _overlap(low[1], high[1], height)
        part = image[y0:y1, x0:x1]
        if part.dtype == np.int32:
            part = part.astype(np.float32)
        source = self.source - np.array([x0, y0], np.float32)
        patch: NDArray[np.generic] = cv2.remap(part, source, None, interpolation, borderMode=border)
        return patch


def _overlaps(geometry: BaseGeometry, window: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = geometry.bounds
    return left <= window[2] and top <= window[3] and right >= window[0] and bottom >= window[1]


def draw_warp(
    augmentation: Augmentation,
    *,
    centre: tuple[float, float],
    size: tuple[int, int],
    margin: int,
    mpp: float,
    rng: np.random.Generator,
) -> Warp:
    """A random map around `centre` (image x, y), as far as `augmentation` allows.

    Args:
        augmentation: The ranges.
        centre: Image position of the patch's centre before the shift.
        size: Height and width of the patch in pixels.
        margin: Pixels around the patch in which points are still followed.
        mpp: µm per pixel of the image.
        rng: Every random number comes from it.
    """
    if augmentation.quarter_turns:
        turn = np.round(_rotation(90.0 * rng.integers(4)))
    else:
        turn = _rotation(rng.uniform(-1, 1) * augmentation.rotation_degrees)
    if augmentation.mirror and rng.random() < 0.5:
        turn = turn @ np.diag([-1.0, 1.0])
    low, high = np.log(augmentation.scale)
    linear = turn / np.exp(rng.uniform(low, high))
    # Whole pixels, so that an unrotated patch stays a copy of its image.
    shift = np.rint(rng.uniform(-1, 1, 2) * augmentation.shift_um / mpp)
    displacement = None
    if augmentation.elastic_alpha_um > 0:
        displacement = elastic_field(
            (size[0] + 2 * margin, size[1] + 2 * margin),
            alpha=rng.random() * augmentation.elastic_alpha_um / mpp,
            sigma=augmentation.elastic_sigma_um / mpp,
            rng=rng,
        )
    shifted = (centre[0] + float(shift[0]), centre[1] + float(shift[1]))
    return Warp(shifted, linear, size, margin, displacement)


def elastic_field(
    size: tuple[int, int], *, alpha: float, sigma: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A smooth random displacement `(height, width, 2)`: Gaussian noise blurred by `sigma`.

    Drawn on a grid of half a sigma and interpolated, since it holds no finer detail.

    Args:
        size: Height and width in pixels.
        alpha: Root mean square displacement along each axis, in pixels.
        sigma: Gaussian sigma in pixels.
        rng: Every random number comes from it.
    """
    step = max(1, round(sigma / 2))
    spread = sigma / step
    # Three sigma more on each side, so that the blur never sees an edge.
    pad = int(np.ceil(3 * spread)) + 1
    height, width = (-(-length // step) + 2 * pad for length in size)
    noise = rng.standard_normal((height, width, 2), dtype=np.float32)
    # White noise blurred by s grid cells keeps 1 / (2 s √π) of its standard deviation.
    noise *= np.float32(alpha * 2 * np.sqrt(np.pi) * spread)
    smooth = cv2.GaussianBlur(noise, (0, 0), spread)[pad - 1 : 1 - pad, pad - 1 : 1 - pad]
    field = cv2.resize(smooth, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(field[step : step + size[0], step : step + size[1]])


def _rotation(degrees: float) -> NDArray[np.float64]:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@lru_cache(maxsize=8)
def _grid(size: tuple[int, int]) -> NDArray[np.float32]:
    height, width = size
    x = np.arange(width, dtype=np.float32) - (width - 1) / 2
    y = np.arange(height, dtype=np.float32) - (height - 1) / 2
    grid = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
    grid.setflags(write=False)
    return grid


def _overlap(low: int, high: int, length: int) -> tuple[int, int]:
    """The part of `[low, high)` inside `[0, length)`, at least the nearest pixel."""
    start = min(max(int(low), 0), length - 1)
    return start, max(min(int(high), length), start + 1)
