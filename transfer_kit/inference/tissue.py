"""Where on a slide nuclei are looked for: the tissue, all of it, or what was drawn in QuPath.

Tissue is what has the colour of a stain. The optical density of glass, dust, shadows and black is
the same in red, green and blue; that of haematoxylin, eosin and DAB is not. Ink has colour, too,
but one that no stain has: it lets green through best, or takes red away more than green, or takes
blue away as much as green and leaves red bright.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry
from skimage.measure import find_contours

from transfer_kit.data.formats.geojson_document import features_of
from transfer_kit.data.formats.geojson_shapes import geometry_of
from transfer_kit.data.formats.qupath_objects import class_name_of, kind_of
from transfer_kit.data.slides.slide import Pixels, Slide
from transfer_kit.data.slides.thumbnail import thumbnail_of
from transfer_kit.errors import UserError, nearest_hint

LEAST_AREA_UM2 = 20_000.0
"""Of a piece of tissue: a square of 0.14 mm. Smaller ones are dust more often than tissue."""

_THUMBNAIL_UM = 8.0
_THUMBNAIL_PX = 512  # a small image is averaged no further than this
_LARGEST_SHARE = 0.02  # of the slide: no piece that large is dropped, however small the slide

# Differences of optical density between the channels, in powers of e. Cameras make up to 0.02 of
# them on glass; the palest counterstained tissue has 0.03, pale eosin 0.06.
_LEAST_COLOUR, _MOST_COLOUR = 0.02, 0.06
_LEAST_SHARE_OF_COLOUR = 0.06  # of the whole density: less is grey or black
_BLACK, _BLACK_RANGE = 60, 20
_EVEN = 2.0  # standard deviation of glass in grey levels

_JOINED_UM, _DROPPED_UM = 24.0, 12.0  # radii: gaps narrower are bridged, bridges narrower cut
_INK_REACH_UM = 100.0  # the edges of a stroke are mixed with glass and look stained
_LEAST_INK_UM, _LEAST_INK_UM2 = 60.0, 100_000.0  # width and area of a stroke: less may be tissue
_HOLE_UM2 = 40_000.0
_SIMPLER_PX, _BEYOND = 0.7, 3  # pixels of the thumbnail
_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")


def tissue_of(
    slide: Slide, *, mpp: float, least_area_um2: float = LEAST_AREA_UM2
) -> shapely.MultiPolygon:
    """Tissue in pixels of level 0, pixel centres at integers; empty where there is none.

    Args:
        slide: Open.
        mpp: µm per pixel of level 0.
        least_area_um2: Smaller pieces are left out, on slides that are large enough for them.

    Raises:
        UserError: the slide is damaged.
    """
    wanted = min(_THUMBNAIL_UM / mpp, max(1.0, max(slide.size) / _THUMBNAIL_PX))
    thumbnail = thumbnail_of(slide, wanted)
    mask = tissue_in(thumbnail.pixels, mpp=mpp * thumbnail.downsample)
    pixel_um2 = (mpp * thumbnail.downsample) ** 2
    least = min(least_area_um2 / pixel_um2, _LARGEST_SHARE * mask.size)
    return _polygons_of(mask, thumbnail.downsample, slide, least=least)


def whole_of(slide: Slide) -> shapely.MultiPolygon:
    """The whole slide as a rectangle, in pixels of level 0, pixel centres at integers."""
    height, width = slide.size
    return shapely.MultiPolygon([shapely.box(-0.5, -0.5, width - 0.5, height - 0.5)])


def region_of(
    annotations: Path, slide: Slide, class_name: str | None = None
) -> shapely.MultiPolygon:
    """Polygons drawn in QuPath, as far as they lie on the slide, in pixels of level 0.

    Args:
        annotations: GeoJSON; its detections, points and lines are passed over.
        slide: Open.
        class_name: Of the annotations that count; all of them by default.

    Raises:
        UserError: the file is no sound GeoJSON, no annotation has the class, or none lies on the
            slide.
    """
    drawn = _areas_in(annotations)
    if class_name is not None:
        classes = {name for name, _ in drawn}
        drawn = [(name, area) for name, area in drawn if name.lower() == class_name.lower()]
        if not drawn:
            raise UserError(
                f"{annotations} has no annotation of the class '{class_name}'. "
                f"{nearest_hint(class_name, classes - {''})}"
            )
    if not drawn:
        raise UserError(
            f"{annotations} has no annotation with an area; draw one in QuPath and export it."
        )
    inside = shapely.intersection(shapely.union_all([area for _, area in drawn]), whole_of(slide))
    region = _multipolygon(inside)
    if region.is_empty:
        height, width = slide.size
        raise UserError(
            f"No annotation in {annotations} lies on {slide.path} ({width} × {height} pixels); "
            "export it from that slide."
        )
    return region


def tissue_in(image: Pixels, *, mpp: float) -> NDArray[np.bool_]:
    """Tissue of an image `(H, W, 3)` of `mpp` µm per pixel, as a mask `(H, W)`."""
    planes = np.ascontiguousarray(np.moveaxis(cv2.GaussianBlur(image, (3, 3), 0), -1, 0))
    lightest, darkest = planes.max(axis=0), planes.min(axis=0)
    glass = _glass(lightest, darkest)
    colour_of_glass = np.median(planes[:, glass], axis=1) if glass.any() else np.full(3, 245.0)
    density = _density(planes, colour_of_glass)
    most = density.max(axis=0)
    colour = most - density.min(axis=0)
    threshold = _threshold(colour[glass])
    black = (lightest < _BLACK) & (lightest - darkest <= _BLACK_RANGE)
    colour[black | (colour <= _LEAST_SHARE_OF_COLOUR * most)] = 0
    ink = _grown(_ink(density, mpp), _INK_REACH_UM / mpp)
    stained = cv2.GaussianBlur(colour, (0, 0), max(0.8, 4.0 / mpp)) > threshold
    mask = _closed(stained & ~ink, _JOINED_UM / mpp)
    mask = _opened(_without_holes(mask, mpp), _DROPPED_UM / mpp)
    return _without_holes(mask, mpp) & ~ink


def _density(planes: Pixels, glass: NDArray[np.float64]) -> NDArray[np.float32]:
    """Optical density against glass of planes `(3, H, W)`, red, green and blue."""
    levels = np.arange(256) + 5.0  # black would have no end
    tables = np.maximum(np.log((glass[:, None] + 5) / levels), 0).astype(np.float32)
    return np.stack([cv2.LUT(plane, table) for plane, table in zip(planes, tables, strict=True)])


def _glass(lightest: Pixels, darkest: Pixels) -> NDArray[np.bool_]:
    """Where glass is seen, which is rarely quite white; nowhere in a picture full of tissue."""
    bright = (darkest > 200) & (lightest - darkest < 20) & (_unevenness(darkest) < _EVEN)
    for seen in (bright & (darkest < 254), bright):  # what was not scanned is white itself
        if np.count_nonzero(seen) >= max(50, 0.05 * seen.size):
            lit = np.percentile(darkest[seen], 90) - 6  # pale tissue is bright, too, but less
            return np.asarray(seen & (darkest >= lit))
    return np.zeros(bright.shape, bool)


def _unevenness(plane: Pixels) -> NDArray[np.float32]:
    """Standard deviation around each pixel, of glass below 1, of the palest tissue above 3."""
    values = plane.astype(np.float32)
    mean = cv2.blur(values, (5, 5))
    variance = np.maximum(cv2.blur(values * values, (5, 5)) - mean * mean, 0)
    return np.asarray(np.sqrt(variance), np.float32)


def _ink(density: NDArray[np.float32], mpp: float) -> NDArray[np.bool_]:
    """Strokes of green, blue and red pens; navy and violet ones have the colour of haematoxylin."""
    red, green, blue = density
    is_green = (green < 0.75 * np.minimum(red, blue)) & (np.minimum(red, blue) > 0.2)
    is_blue = (red > 1.2 * green) & (red > blue) & (red > 0.35)  # haematoxylin: 1.1 at most
    is_red = (red < 0.35) & (green > 1.1) & (blue > 0.55 * green) & (blue < 1.3 * green)
    strokes = _opened(is_green | is_blue | is_red, _LEAST_INK_UM / 2 / mpp)
    return _large(strokes, _LEAST_INK_UM2 / mpp**2)


def _threshold(colour_of_glass: NDArray[np.float32]) -> float:
    """Twice the colour that hardly any glass exceeds, within what stains and cameras allow."""
    if colour_of_glass.size == 0:
        return _LEAST_COLOUR
    noise = float(np.percentile(colour_of_glass, 99))
    return float(np.clip(2 * noise, _LEAST_COLOUR, _MOST_COLOUR))


def _grown(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """All within `radius` pixels of the mask."""
    if not mask.any():
        return mask
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= radius)


def _closed(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    return ~_grown(~_grown(mask, radius), radius)


def _opened(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    return _grown(~_grown(~mask, radius), radius)


def _without_holes(mask: NDArray[np.bool_], mpp: float) -> NDArray[np.bool_]:
    """Fill small holes; what reaches the edge of the image is none."""
    empty = cv2.copyMakeBorder((~mask).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(empty, connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < _HOLE_UM2 / mpp**2
    small[[0, labels[0, 0]]] = False  # the mask itself, and what reaches the edge
    return np.asarray(mask | small[labels[1:-1, 1:-1]])


def _large(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """The connected pieces of at least `least` pixels."""
    if not mask.any():
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] >= least
    large[0] = False  # what is not in the mask
    return np.asarray(large[labels])


def _polygons_of(
    mask: NDArray[np.bool_], downsample: float, slide: Slide, *, least: float
) -> shapely.MultiPolygon:
    """The mask's pieces of at least `least` pixels, in pixels of level 0."""
    pieces = _large(mask, least).astype(np.uint8)
    # What reaches the mask's edge goes on, and is cut at the slide's: a level may end before it.
    pieces = cv2.copyMakeBorder(pieces, *(_BEYOND,) * 4, cv2.BORDER_REPLICATE)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(pieces, connectivity=4)
    outlines = []
    for number in range(1, count):
        x, y, width, height, _ = (int(value) for value in stats[number])
        piece = labels[y : y + height, x : x + width] == number
        outlines.append(translate(_outline(piece), x - _BEYOND, y - _BEYOND))
    drawn = shapely.transform(
        shapely.union_all(outlines), lambda centres: (centres + 0.5) * downsample - 0.5
    )
    return _multipolygon(shapely.intersection(drawn, whole_of(slide)))


def _outline(piece: NDArray[np.bool_]) -> BaseGeometry:
    """One connected piece with its holes, smoothed, pixel centres at integers."""
    around = cv2.copyMakeBorder(piece.astype(np.float32), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    rings = [ring[:, ::-1] - 1 for ring in find_contours(around, 0.5)]
    areas = [shapely.Polygon(ring) for ring in rings if len(ring) > 3]
    shell = max(areas, key=lambda area: area.area)
    holes = [area for area in areas if area is not shell]
    outline = shapely.difference(shell, shapely.union_all(holes)) if holes else shell
    return shapely.make_valid(outline.simplify(_SIMPLER_PX))


def _areas_in(path: Path) -> list[tuple[str, BaseGeometry]]:
    """Class and area of every annotation that has an area."""
    areas = []
    for where, feature in features_of(path):
        drawn = feature.get("geometry")
        shape = drawn.get("type") if isinstance(drawn, dict) else None
        if kind_of(feature) != "annotation" or shape in _WITHOUT_AREA:
            continue
        area = shapely.make_valid(geometry_of(drawn, where))
        areas.append((class_name_of(feature["properties"], where), area))
    return areas


def _multipolygon(geometry: BaseGeometry) -> shapely.MultiPolygon:
    """Its parts that have an area."""
    parts = shapely.get_parts(geometry)
    while any(part.geom_type in ("GeometryCollection", "MultiPolygon") for part in parts):
        parts = shapely.get_parts(parts)
    return shapely.MultiPolygon([p for p in parts if p.geom_type == "Polygon" and p.area > 0])
