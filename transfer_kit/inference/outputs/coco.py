"""A slide's nuclei as COCO JSON, written as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outputs.columns import record_of

_CHUNK = 5_000


def write_coco(path: Path, found: FoundNuclei, facts: SlideFacts) -> list[Path]:
    """One image, its nuclei with their exact centres as keypoints, outlines, scores.

    The records are those of `data.formats.write_coco`, with three differences: each has a score;
    all classes that the detector knows are categories; and a nucleus with holes is cut into
    polygons without, since run lengths over a whole slide exceed what COCO's tools can count.
    Nuclei without an outline have a box and an area of 0. The slide's facts are under "info".

    Raises:
        UserError: the file cannot be written.
    """
    names = sorted(set(found.classes))
    numbers = {name: number for number, name in enumerate(names, start=1)}
    categories = [
        {"id": number, "name": name, "supercategory": "nucleus", "keypoints": ["centre"]}
        for name, number in numbers.items()
    ]
    height, width = facts.size
    image = {"id": 1, "file_name": facts.name, "height": height, "width": width}
    head = {"info": record_of(facts), "images": [image], "categories": categories}
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "annotations": [')
        before = ""
        for record in _records(found, numbers):
            file.write(before + json.dumps(record, ensure_ascii=False))
            before = ", "
        file.write("]}")
    return [path]


def _records(found: FoundNuclei, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(found), _CHUNK):
        part = found.take(np.arange(start, min(start + _CHUNK, len(found))))
        outlines = [None] * len(part) if part.outlines is None else part.outlines.tolist()
        columns = (part.points.tolist(), part.scores.tolist(), part.kinds.tolist(), outlines)
        for k, ((x, y), score, kind, outline) in enumerate(zip(*columns, strict=True), start + 1):
            yield {
                "category_id": numbers[found.classes[kind]],
                "iscrowd": 0,
                "keypoints": [x, y, 2],
                "num_keypoints": 1,
                "score": score,
                **_drawn(outline, x, y),
                "id": k,
                "image_id": 1,
            }


def _drawn(outline: BaseGeometry | None, x: float, y: float) -> dict[str, Any]:
    """COCO measures polygons and boxes from the image's corner, half a pixel more."""
    if outline is None or outline.area == 0:
        return {"bbox": [x + 0.5, y + 0.5, 0.0, 0.0], "area": 0.0}
    left, top, right, bottom = outline.bounds
    return {
        "segmentation": [
            (shapely.get_coordinates(part.exterior)[:-1] + 0.5).ravel().tolist()
            for part in without_holes(outline)
        ],
        "bbox": [left + 0.5, top + 0.5, right - left, bottom - top],
        "area": float(outline.area),
    }


def without_holes(geometry: BaseGeometry) -> list[shapely.Polygon]:
    """Polygons that cover the same without a hole, cut through each from top to bottom.

    A cut runs between two columns of pixels where the hole spans such a line, so that no pixel's
    centre lies on it.
    """
    solid: list[shapely.Polygon] = []
    waiting = _polygons(geometry)
    while waiting:
        polygon = waiting.pop()
        if not polygon.interiors:
            solid.append(polygon)
            continue
        first, _, last, _ = polygon.interiors[0].bounds
        between = np.floor((first + last) / 2) + 0.5
        cut = float(between) if first <= between <= last else (first + last) / 2
        left, top, right, bottom = polygon.bounds
        for half in (shapely.box(left, top, cut, bottom), shapely.box(cut, top, right, bottom)):
            waiting += _polygons(polygon.intersection(half))
    return solid[::-1]


def _polygons(geometry: BaseGeometry) -> list[shapely.Polygon]:
    """The parts that have an area; a cut along an edge leaves lines, too."""
    return [part for part in shapely.get_parts(geometry).tolist() if part.geom_type == "Polygon"]
