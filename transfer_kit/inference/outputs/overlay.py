"""A picture of a whole slide with what was found in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.filling import filled_outlines
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.data.slides.slide import Slide
from transfer_kit.data.slides.thumbnail import scaled_down
from transfer_kit.evaluation.captions import Entry, legend_below
from transfer_kit.evaluation.overlay import CLASS_COLOURS, draw_detections
from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outputs.columns import names_of

LONGEST_PX = 2_000

_IN_LITTLE = 0.5  # of an image's own size; in larger pictures nuclei are told apart
_APART_PX = 12.0  # circles of 4 px, with their rims
_DENSE = 0.95  # a quantile: so much of the tissue with nuclei is less than opaque
_OUTLINED_PX2 = 60  # a line of two pixels inside leaves some of the nucleus to be seen
_SPREAD_PX = 2.0
_OPAQUE = 0.85
_BITS = 4  # OpenCV draws at 1/16 pixel with this many fractional bits
_JPEG_QUALITY = 90

Image = NDArray[np.uint8]


def write_overlay(
    path: Path,
    found: FoundNuclei,
    facts: SlideFacts,
    *,
    slide: Slide,
    longest_px: int = LONGEST_PX,
) -> list[Path]:
    """The slide in little, as PNG or JPEG, with the searched area's rim and the nuclei.

    See `overlay`.

    Raises:
        UserError: the slide cannot be read, or the file cannot be written.
    """
    picture = overlay(found, facts, slide=slide, longest_px=longest_px)
    suffix = path.suffix.lower()
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
    encoded = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return [path]


def overlay(
    found: FoundNuclei, facts: SlideFacts, *, slide: Slide, longest_px: int = LONGEST_PX
) -> Image:
    """Nuclei as circles or outlines, a colour a class, where there is room for them.

    Where the slide is shown in little and there are too many, each class is a veil of its colour,
    the more opaque the more densely its nuclei lie. Below stand the classes and their counts.

    Args:
        found: The nuclei.
        facts: The slide's scale, and where nuclei were looked for.
        slide: Open.
        longest_px: Of the picture's sides, without the legend.
    """
    picture = scaled_down(slide, longest_px)
    scale = np.array(picture.shape[1::-1]) / np.array(facts.size[::-1])
    rimmed = _rimmed(picture, facts.searched, scale)
    points = ((found.points.astype(np.float64) + 0.5) * scale - 0.5).astype(np.float32)
    shrunk = _shrunk(found, scale)
    if shrunk is None and scale.min() < _IN_LITTLE and _crowded(points):
        return _veiled(rimmed, points, names_of(found))
    small = Nuclei(points, found.scores, tuple(names_of(found)))
    if shrunk is not None:
        annotation = Annotation(points, small.classes, outlines=shrunk)
        small = replace(small, instances=filled_outlines(annotation, picture.shape[:2]))
    mpp = facts.mpp / float(scale[0])
    return draw_detections(rimmed, small, radius_um=facts.radius_um, mpp=mpp)


def _crowded(points: NDArray[np.float32]) -> bool:
    """Whether circles of neighbours would run into each other, as a rule."""
    if len(points) < 2:
        return False
    nearest = cKDTree(points).query(points, k=2)[0][:, 1]
    return float(np.median(nearest)) < _APART_PX


def _rimmed(picture: Image, area: BaseGeometry, scale: NDArray[np.float64]) -> Image:
    """With a white line around the searched area, dark on both sides."""
    canvas = picture.copy()
    for polygon in shapely.get_parts(area).tolist():
        rings = [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)]
        fine = [((ring + 0.5) * scale - 0.5) * 2**_BITS for ring in rings]
        corners = [np.rint(ring).astype(np.int32) for ring in fine]
        for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
            cv2.polylines(canvas, corners, True, colour, thickness, cv2.LINE_AA, _BITS)
    return canvas


def _shrunk(
    found: FoundNuclei, scale: NDArray[np.float64]
) -> tuple[BaseGeometry | None, ...] | None:
    """Outlines on the picture; None where they are too small to be told from dots."""
    if found.outlines is None:
        return None
    areas = shapely.area(found.outlines) * float(scale.prod())
    if np.isnan(areas).all() or np.nanmedian(areas) < _OUTLINED_PX2:
        return None
    return tuple(shapely.transform(found.outlines, lambda corners: (corners + 0.5) * scale - 0.5))


def _veiled(picture: Image, points: NDArray[np.float32], names: NDArray[np.object_]) -> Image:
    height, width = picture.shape[:2]
    columns, rows = np.rint(points).astype(np.intp).T
    columns, rows = columns.clip(0, width - 1), rows.clip(0, height - 1)
    total = np.zeros((height, width), np.float32)
    coloured = np.zeros((height, width, 3), np.float32)
    entries = []
    for number, name in enumerate(sorted(set(names))):
        colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
        own = names == name
        density = np.zeros((height, width), np.float32)
        np.add.at(density, (rows[own], columns[own]), 1)
        density = cv2.GaussianBlur(density, (0, 0), _SPREAD_PX)
        total += density
        coloured += density[..., None] * np.array(colour, np.float32)
        swatch = np.full((28, 28, 3), colour, np.uint8)
        entries.append(Entry(f"{name or 'nuclei'} {int(own.sum()):,}", swatch))
    filled = total[total > 1e-3]
    densest = float(np.quantile(filled, _DENSE)) if len(filled) else 1.0
    opacity = (_OPAQUE * np.minimum(total / densest, 1))[..., None]
    mixed = coloured / np.maximum(total, 1e-9)[..., None]
    veiled = picture * (1 - opacity) + mixed * opacity
    return legend_below(np.rint(veiled).astype(np.uint8), entries, "the denser, the more opaque")
