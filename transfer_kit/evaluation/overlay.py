"""Pictures of what was found: true, false and missed nuclei drawn on the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.filling import filled_outlines
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation.captions import Entry, caption_above, legend_below, side_by_side
from transfer_kit.evaluation.counting import inside_labelled, score_image
from transfer_kit.evaluation.matching import Index
from transfer_kit.evaluation.statistics import precision_recall_f1

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

# After Okabe and Ito (2008), whose colours are told apart with any colour vision; the green and
# the vermilion are lightened to stand out on pink and violet tissue. Each mark has its own shape;
# outlines have the nuclei's and tell by colour alone.
TRUE: Colour = (0, 190, 140)
FALSE: Colour = (255, 115, 20)
MISSED: Colour = (240, 228, 66)
CLASS_COLOURS: tuple[Colour, ...] = (
    (0, 190, 140),
    (240, 228, 66),
    (86, 180, 233),
    (213, 94, 0),
    (204, 121, 167),
    (230, 159, 0),
)

_WANTED_PIXELS = 1000
_BITS = 4  # OpenCV draws at 1/16 pixel with this many fractional bits


def overlay(
    image: Image, truth: Annotation, found: Nuclei, *, radius_um: float, mpp: float
) -> Image:
    """Draw true detections as circles, false ones as crosses and missed nuclei as squares.

    A detection or nucleus that has an instance, or an outline, is drawn as its outline instead,
    in the same colour; true is still what lies within the radius of a nucleus' centre.

    The rim of labelled regions is drawn and what lies outside is paled: nothing there counts.
    Small images are enlarged by a whole factor. Below stand the legend, the counts and the F1.

    Args:
        image: RGB `(H, W, 3)`.
        truth: What is known.
        found: The detections, already cut at the threshold.
        radius_um: Largest distance of a match in µm.
        mpp: Micrometres per pixel of `image`.
    """
    scored = score_image(truth, found, radius_px=radius_um / mpp, size=image.shape[:2])
    canvas, factor = _enlarged(image)
    if truth.labelled_regions:
        canvas = _paled_outside(canvas, truth, image.shape[:2], factor)
    size = _mark_size(canvas, radius_um / mpp * factor, max(len(truth), len(found)))
    annotated = truth.instances
    if annotated is None and any(outline is not None for outline in truth.outlines):
        annotated = filled_outlines(truth, image.shape[:2])
    groups = (
        _Group("true", TRUE, _circle, found.points, found.instances, scored.found_index),
        _Group("missed", MISSED, _square, truth.points, annotated, scored.missed_index),
        _Group("false", FALSE, _cross, found.points, found.instances, scored.false_index),
    )
    entries = [_draw_group(canvas, group, factor, size) for group in groups]
    f1 = float(precision_recall_f1(scored.counts)[2])
    return legend_below(canvas, entries, f"F1 {f1:.3f} within {radius_um:g} µm")


def draw_detections(image: Image, found: Nuclei, *, radius_um: float, mpp: float) -> Image:
    """Circle or outline what was found, a colour a class, with nothing to compare it with.

    Args:
        image: RGB `(H, W, 3)`.
        found: The detections, already cut at the threshold.
        radius_um: Sets the size of the marks, as in `overlay`.
        mpp: Micrometres per pixel of `image`.
    """
    canvas, factor = _enlarged(image)
    size = _mark_size(canvas, radius_um / mpp * factor, len(found))
    entries = []
    names = np.array(found.classes, object)
    for number, name in enumerate(sorted(set(found.classes))):
        colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
        chosen = np.flatnonzero(names == name)
        said = name or "nuclei"
        group = _Group(said, colour, _circle, found.points, found.instances, chosen)
        entries.append(_draw_group(canvas, group, factor, size))
    return legend_below(canvas, entries, "" if entries else "nothing found")


def before_after_strip(panels: Sequence[tuple[str, Image]]) -> Image:
    """Pictures side by side, each under its caption ("base as it is", "fine-tuned").

    Args:
        panels: Caption and RGB image of each.

    Raises:
        ValueError: there is no panel.
    """
    if not panels:
        raise ValueError("a strip needs at least one panel, but got none")
    return side_by_side([caption_above(image, caption) for caption, image in panels])


def _enlarged(image: Image) -> tuple[Image, int]:
    """A copy to draw on, and the whole factor by which it is larger."""
    height, width = image.shape[:2]
    factor = int(np.clip(round(_WANTED_PIXELS / max(height, width)), 1, 6))
    if factor == 1:
        return np.array(image, np.uint8), 1
    size = (width * factor, height * factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8), factor


def _on_canvas(points: Points, factor: int) -> NDArray[np.float64]:
    """Points of the image as OpenCV's drawing counts them on the canvas, centres at integers."""
    return (np.asarray(points, np.float64).reshape(-1, 2) + 0.5) * factor - 0.5


def _paled_outside(canvas: Image, truth: Annotation, size: tuple[int, int], factor: int) -> Image:
    height, width = size
    y, x = np.mgrid[:height, :width]
    inside = inside_labelled(np.stack([x.ravel(), y.ravel()], axis=1), truth, size)
    mask = np.kron(inside.reshape(size), np.ones((factor, factor), bool))
    pale = np.where(mask[..., None], canvas, canvas // 2 + 110).astype(np.uint8)
    for region in truth.labelled_regions:
        for ring in _rings(region):
            corners = np.round(_on_canvas(ring, factor) * 2**_BITS).astype(np.int32)
            for colour, thickness in (((255, 255, 255), 4), ((0, 0, 0), 2)):
                cv2.polylines(pale, [corners], True, colour, thickness, cv2.LINE_AA, _BITS)
    return pale


def _rings(region: BaseGeometry) -> list[Points]:
    """Outer and inner rims of a polygon or of each part of several."""
    parts = getattr(region, "geoms", [region])
    return [
        np.array(ring.coords, np.float32)[:, :2]
        for part in parts
        if hasattr(part, "exterior")
        for ring in (part.exterior, *part.interiors)
    ]


def _mark_size(canvas: Image, radius_on_canvas: float, count: int) -> float:
    """Marks smaller than the matching radius and the spacing, so that neighbours stay apart."""
    height, width = canvas.shape[:2]
    spacing = float(np.sqrt(height * width / max(count, 1)))
    return float(np.clip(min(0.5 * radius_on_canvas, 0.22 * spacing), 4, 9))


Mark = Callable[[Image, tuple[int, int], int, Colour, int], None]


class _Group(NamedTuple):
    """Nuclei that are drawn alike: those at `chosen` of all `points` and `instances`."""

    name: str
    colour: Colour
    mark: Mark
    points: Points
    instances: NDArray[np.int32] | None
    chosen: Index


def _draw_group(canvas: Image, group: _Group, factor: int, size: float) -> Entry:
    """Outline what has an instance and mark the rest; the group's entry in the legend."""
    outlined = np.zeros(len(group.chosen), bool)
    if group.instances is not None:
        outlined = np.isin(group.chosen + 1, group.instances)
        _outline(canvas, group.instances, group.chosen[outlined], group.colour, factor)
    bare = group.points[group.chosen[~outlined]]
    _draw(canvas, _on_canvas(bare, factor), group.mark, group.colour, size)
    shown = _oval if group.instances is not None and not len(bare) else group.mark
    return Entry(f"{group.name} {len(group.chosen)}", _sample(shown, group.colour))


def _outline(
    canvas: Image, instances: NDArray[np.int32], chosen: Index, colour: Colour, factor: int
) -> None:
    """Draw a line along the inside of each chosen instance's edge, with a dark rim around it.

    Inside, so that nuclei which touch keep a line each; where the image cuts one, there is none.
    """
    kept = np.zeros(int(instances.max()) + 1, bool)
    kept[chosen + 1] = True
    # OpenCV knows no morphology of int32, and floats hold whole numbers up to 2^24 exactly.
    numbers = np.where(kept[instances], instances, 0).astype(np.float32)
    numbers = np.kron(numbers, np.ones((factor, factor), np.float32))
    within = np.ones((5, 5), np.uint8)  # a line of two pixels
    line = (cv2.dilate(numbers, within) != numbers) | (cv2.erode(numbers, within) != numbers)
    line &= numbers > 0
    canvas[cv2.dilate(line.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0] = 0
    canvas[line] = colour


def _draw(
    canvas: Image, points: NDArray[np.float64], mark: Mark, colour: Colour, size: float
) -> None:
    """Draw each mark with a dark rim, which sets it off against nuclei and stroma alike."""
    fine = np.round(points * 2**_BITS).astype(int)
    reach = round(size * 2**_BITS)
    for shade, thickness in (((0, 0, 0), 4), (colour, 2)):
        for x, y in fine.tolist():
            mark(canvas, (x, y), reach, shade, thickness)


def _sample(mark: Mark, colour: Colour) -> Image:
    picture = np.full((28, 28, 3), 255, np.uint8)
    _draw(picture, np.array([[13.5, 13.5]]), mark, colour, 9)
    return picture


def _circle(
    canvas: Image, centre: tuple[int, int], reach: int, colour: Colour, thickness: int
) -> None:
    cv2.circle(canvas, centre, reach, colour, thickness, cv2.LINE_AA, _BITS)


def _oval(
    canvas: Image, centre: tuple[int, int], reach: int, colour: Colour, thickness: int
) -> None:
    axes = (reach, round(reach * 0.7))
    cv2.ellipse(canvas, centre, axes, 30, 0, 360, colour, thickness, cv2.LINE_AA, _BITS)


def _square(
    canvas: Image, centre: tuple[int, int], reach: int, colour: Colour, thickness: int
) -> None:
    (x, y), side = centre, round(reach * 0.9)
    corners = ((x - side, y - side), (x + side, y + side))
    cv2.rectangle(canvas, *corners, colour, thickness, cv2.LINE_AA, _BITS)


def _cross(
    canvas: Image, centre: tuple[int, int], reach: int, colour: Colour, thickness: int
) -> None:
    (x, y), arm = centre, round(reach * 0.9)
    for slope in (1, -1):
        ends = ((x - arm, y - slope * arm), (x + arm, y + slope * arm))
        cv2.line(canvas, *ends, colour, thickness + 1, cv2.LINE_AA, _BITS)
