"""COCO JSON: one file for many images; keypoints, boxes, polygons and run lengths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pycocotools import mask as run_lengths
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo, centres_of, name_for
from transfer_kit.data.formats.documents import load_shared_json, number, peek
from transfer_kit.errors import UserError

_LISTS = ("images", "annotations", "categories")
_TELLING = ("file_name", "image_id", "category_id", "supercategory")
_READ_HERE = ("image_id", "category_id", "segmentation", "bbox", "keypoints", "num_keypoints")

Record = Mapping[str, Any]
Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows, columns


class _Document(NamedTuple):
    images: dict[str, Record]
    annotations: dict[Any, list[Record]]
    categories: dict[Any, str]


class _Nucleus(NamedTuple):
    centre: tuple[float, float]
    class_name: str
    outline: BaseGeometry | None
    pixels: Pixels | None
    properties: Record


@dataclass(frozen=True)
class Coco:
    """Images matched by `file_name`, categories as classes.

    Of what an annotation has, the first counts: one keypoint (the centre, pixel centres at
    integers as COCO has keypoints), polygons or run lengths (their centroid), the box (its
    centre). COCO measures polygons and boxes from the image's corner, so they are moved by -.5;
    run lengths are pixels. Where every nucleus has run lengths, they make the instance map, the
    smaller nucleus uppermost.
    """

    name: str = "coco"
    description: str = "COCO JSON: points, boxes, polygons, run lengths; a file for many images"

    def recognises(self, path: Path) -> bool:
        """A JSON object with COCO's lists."""
        head = peek(path, (".json",)).lstrip()
        if not head.startswith("{"):
            return False
        if any(f'"{key}"' in head for key in _TELLING):
            return True
        try:
            document = load_shared_json(path)
        except UserError:
            return False
        return isinstance(document, dict) and all(key in document for key in _LISTS[:2])

    def images_of(self, path: Path) -> frozenset[str]:
        """The file names of all images.

        Raises:
            UserError: no sound COCO JSON.
        """
        return frozenset(_document(path).images)

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """The annotations of one image.

        Raises:
            UserError: no COCO JSON, no entry for the image, another size than the image's, or an
                annotation without sound place or category, with its id.
        """
        (path,) = paths
        document = _document(path)
        entry = _entry(document, path, image)
        records = document.annotations.get(entry["id"], [])
        found = [_nucleus(record, document.categories, path, image) for record in records]
        outlines = tuple(nucleus.outline for nucleus in found)
        return Annotation(
            np.array([nucleus.centre for nucleus in found], np.float32).reshape(-1, 2),
            tuple(nucleus.class_name for nucleus in found),
            instances=_painted([nucleus.pixels for nucleus in found], image),
            outlines=outlines if any(outline is not None for outline in outlines) else (),
            properties=tuple(nucleus.properties for nucleus in found),
        )


def _document(path: Path) -> _Document:
    load_shared_json(path)  # says what is wrong with the file before it is sorted
    stat = path.stat()
    return _sorted_document(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _sorted_document(path: Path, modified_ns: int, size: int) -> _Document:
    images, annotations, categories = (_records(path, key) for key in _LISTS)
    by_image: dict[Any, list[Record]] = defaultdict(list)
    for record in annotations:
        by_image[record["image_id"]].append(record)
    return _Document(
        {str(entry["file_name"]): entry for entry in images},
        dict(by_image),
        {category["id"]: str(category["name"]) for category in categories},
    )


def _records(path: Path, key: str) -> list[Record]:
    """One of the lists, each entry with the members that are needed to find it again."""
    needed = {
        "images": ("id", "file_name"),
        "annotations": ("image_id",),
        "categories": ("id", "name"),
    }[key]
    document = load_shared_json(path)
    records = document.get(key, []) if isinstance(document, dict) else None
    if not isinstance(records, list) or (key == "images" and not records):
        raise UserError(f"{path} has no list '{key}' as COCO JSON has; export it again as COCO.")
    for at, record in enumerate(records, start=1):
        lacking = [n for n in needed if not isinstance(record, dict) or n not in record]
        if lacking or any(isinstance(record[n], (list, dict)) for n in needed):
            raise UserError(
                f"{path}, {key} entry {at} has no sound '{(lacking or needed)[0]}'; "
                "export the file again as COCO."
            )
    return records


def _entry(document: _Document, path: Path, image: ImageInfo) -> Record:
    name = name_for(image.path, document.images)
    if name is None:
        raise UserError(f"{path} has no entry for {image.name}; add it to its list of images.")
    entry = document.images[name]
    size = (entry.get("height", image.height), entry.get("width", image.width))
    if size != (image.height, image.width):
        raise UserError(
            f"{path} says that {name} is {size[1]} x {size[0]} pixels, but {image.name} is "
            f"{image.width} x {image.height}; give the image that was annotated."
        )
    return entry


def _nucleus(
    record: Record, categories: Mapping[Any, str], path: Path, image: ImageInfo
) -> _Nucleus:
    where = f"{path}, annotation {record.get('id', '?')}"
    if record.get("iscrowd"):
        raise UserError(
            f"{where} is a crowd, whose nuclei are not told apart; outline each, "
            "or set iscrowd to 0 if it is one nucleus."
        )
    category = record.get("category_id")
    if category is not None and (isinstance(category, (list, dict)) or category not in categories):
        raise UserError(f"{where}: category {category!r} is not in the list of categories; add it.")
    outline, pixels = _drawn(record, where, image)
    return _Nucleus(
        _keypoint(record, where) or _centre(outline, pixels, where),
        categories[category] if category is not None else "",
        outline if outline is not None and outline.geom_type != "Point" else None,
        pixels,
        {key: record[key] for key in record if key not in _READ_HERE},
    )


def _drawn(
    record: Record, where: str, image: ImageInfo
) -> tuple[BaseGeometry | None, Pixels | None]:
    drawn = record.get("segmentation")
    if isinstance(drawn, dict):
        return None, _decoded(drawn, where, image)
    if isinstance(drawn, list) and drawn:
        return _polygons(drawn, where), None
    box = record.get("bbox")
    if box is None:
        return None, None
    if not isinstance(box, list) or len(box) != 4:
        raise UserError(f"{where}: its bbox is not [x, y, width, height]; correct it.")
    x, y, width, height = (number(value, where) for value in box)
    if width < 0 or height < 0:
        raise UserError(f"{where}: its box is {width:g} x {height:g}, below 0; correct it.")
    if width == 0 or height == 0:  # a point that some tool boxed
        return shapely.Point(x + width / 2 - 0.5, y + height / 2 - 0.5), None
    return shapely.box(x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5), None


def _polygons(rings: Sequence[Any], where: str) -> BaseGeometry:
    parts = []
    for ring in rings:
        if not isinstance(ring, list) or len(ring) < 6 or len(ring) % 2:
            raise UserError(f"{where}: a polygon needs x, y of 3 corners or more; redraw it.")
        corners = np.array([number(value, where) for value in ring]).reshape(-1, 2)
        parts.append(shapely.Polygon(corners - 0.5))
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _decoded(drawn: Record, where: str, image: ImageInfo) -> Pixels:
    size, counts = drawn.get("size"), drawn.get("counts")
    if size != [image.height, image.width]:
        raise UserError(
            f"{where}: its run lengths are for size {size}, but {image.name} has "
            f"{[image.height, image.width]} (height, width); give the image that was annotated."
        )
    try:
        runs = _unpacked(counts) if isinstance(counts, str) else list(counts or ())
        # pycocotools reads beyond its buffer where the runs are not those of the image.
        if sum(runs) != image.height * image.width or min(runs) < 0:
            raise ValueError("run lengths do not add up to the image")
        packed = run_lengths.frPyObjects({"size": size, "counts": runs}, image.height, image.width)
        rows, columns = np.nonzero(run_lengths.decode(packed))
    except Exception as error:  # the decoder raises many kinds
        raise UserError(f"{where}: its run lengths are damaged; export the file again.") from error
    if not len(rows):
        raise UserError(f"{where}: its mask is empty; delete it or draw it anew.")
    return rows, columns


def _unpacked(counts: str) -> list[int]:
    """COCO's compressed run lengths: 5 bits a character, from the third on as differences."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} is no run length")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            negative = (1 << shift) if bits & 16 else 0
            runs.append(value - negative + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the last run length is cut short")
    return runs


def _keypoint(record: Record, where: str) -> tuple[float, float] | None:
    """The one keypoint of a nucleus; people have 17, which say nothing here."""
    keypoints = record.get("keypoints")
    if not isinstance(keypoints, list) or len(keypoints) not in (2, 3):
        return None
    return number(keypoints[0], where), number(keypoints[1], where)


def _centre(outline: BaseGeometry | None, pixels: Pixels | None, where: str) -> tuple[float, float]:
    if pixels is not None:
        y, x = pixels
        return float(x.mean()), float(y.mean())
    if outline is None:
        raise UserError(f"{where} has neither keypoint, segmentation nor bbox; add one.")
    x_y = centres_of([outline])[0]
    return float(x_y[0]), float(x_y[1])


def _painted(masks: Sequence[Pixels | None], image: ImageInfo) -> NDArray[np.int32] | None:
    drawn = [pixels for pixels in masks if pixels is not None]
    if not drawn or len(drawn) < len(masks):
        return None
    instances = np.zeros((image.height, image.width), np.int32)
    for k in sorted(range(len(drawn)), key=lambda k: -len(drawn[k][0])):
        instances[drawn[k]] = k + 1
    return instances
