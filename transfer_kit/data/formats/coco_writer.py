"""Writing COCO JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pycocotools import mask as run_lengths
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.filling import pixels_in
from transfer_kit.data.formats.base import ImageInfo
from transfer_kit.files import replacing


def write_coco(path: str | Path, annotated: Sequence[tuple[ImageInfo, Annotation]]) -> None:
    """Write all images into one COCO JSON.

    Each nucleus has its exact centre as a keypoint, and its outline as polygon, or its pixels as
    run lengths (where the outline has holes, or there is only an instance map). Nuclei without a
    class have the category "". Fields that a reader kept in `properties` are written too; ids are
    given anew. Labelled regions and region labels have no place in COCO and are left out.

    Raises:
        UserError: the file cannot be written.
    """
    names = sorted({name for _, annotation in annotated for name in annotation.classes})
    category = {name: k for k, name in enumerate(names, start=1)}
    records: list[dict[str, Any]] = []
    for image_id, (image, annotation) in enumerate(annotated, start=1):
        for record in _records(image, annotation):
            record["category_id"] = category[record["category_id"]]
            records.append({**record, "id": len(records) + 1, "image_id": image_id})
    document = {
        "images": _images([image for image, _ in annotated]),
        "annotations": records,
        "categories": [
            {"id": k, "name": name, "supercategory": "nucleus", "keypoints": ["centre"]}
            for name, k in category.items()
        ],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def _images(images: Sequence[ImageInfo]) -> list[dict[str, Any]]:
    """Names as they are; of images that share one, with their folder before it."""
    shared = Counter(image.name for image in images)
    return [
        {
            "id": k,
            "file_name": image.name
            if shared[image.name] == 1
            else f"{image.path.parent.name}/{image.name}",
            "height": image.height,
            "width": image.width,
        }
        for k, image in enumerate(images, start=1)
    ]


def _records(image: ImageInfo, annotation: Annotation) -> Iterator[dict[str, Any]]:
    boxes = ndimage.find_objects(annotation.instances) if annotation.instances is not None else []
    for k, (x, y) in enumerate(annotation.points.tolist()):
        outline = annotation.outlines[k] if annotation.outlines else None
        kept = dict(annotation.properties[k]) if annotation.properties else {}
        record = {
            **kept,
            "category_id": annotation.classes[k],
            "iscrowd": 0,
            "keypoints": [x, y, 2],
            "num_keypoints": 1,
        }
        if outline is not None and outline.area > 0:
            record.update(_of_outline(outline, image))
        elif annotation.instances is not None and k < len(boxes) and boxes[k] is not None:
            rows, columns = np.nonzero(annotation.instances[boxes[k]] == k + 1)
            record.update(_of_pixels(rows + boxes[k][0].start, columns + boxes[k][1].start, image))
        else:
            record.update(bbox=[x + 0.5, y + 0.5, 0.0, 0.0], area=0.0)
        yield record


def _of_outline(outline: BaseGeometry, image: ImageInfo) -> dict[str, Any]:
    parts = shapely.get_parts(outline).tolist()
    if any(len(part.interiors) for part in parts):
        rows, columns = pixels_in(outline, (image.height, image.width))
        if len(rows):
            return _of_pixels(rows, columns, image)
    left, top, right, bottom = outline.bounds
    return {
        "segmentation": [
            (shapely.get_coordinates(part.exterior)[:-1] + 0.5).ravel().tolist() for part in parts
        ],
        "bbox": [left + 0.5, top + 0.5, right - left, bottom - top],
        "area": float(outline.area),
    }


def _of_pixels(
    rows: NDArray[np.intp], columns: NDArray[np.intp], image: ImageInfo
) -> dict[str, Any]:
    mask = np.zeros((image.height, image.width), np.uint8, order="F")
    mask[rows, columns] = 1
    packed = run_lengths.encode(mask)
    return {
        "segmentation": {"size": packed["size"], "counts": packed["counts"].decode("ascii")},
        "bbox": [float(value) for value in run_lengths.toBbox(packed)],
        "area": len(rows),
    }
