"""Labelbox's first JSON export: polygons by class, as in the Ki-67 glioma set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo, centres_of, name_for
from transfer_kit.data.formats.documents import load_shared_json, number, peek
from transfer_kit.errors import UserError
from transfer_kit.wording import counted

_IMAGE, _LABEL = "External ID", "Label"


@dataclass(frozen=True)
class Labelbox:
    """A list of images, each with `Label: {class: [{geometry: [{x, y}, ...]}]}`.

    The image is found by "External ID": its name, its stem, or the folder it lies in. Corners are
    whole pixels with y downwards; in the Ki-67 set they agree with the published masks without any
    shift.
    """

    name: str = "labelbox"
    description: str = "Labelbox JSON (XY): polygons by class; a file for many images"

    def recognises(self, path: Path) -> bool:
        """A JSON list that names its images by "External ID"."""
        return f'"{_IMAGE}"' in peek(path, (".json",))

    def images_of(self, path: Path) -> frozenset[str]:
        """Every "External ID".

        Raises:
            UserError: no sound Labelbox JSON.
        """
        return frozenset(_entries(path))

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """The polygons of one image.

        Raises:
            UserError: no Labelbox JSON, no entry for the image, or an unsound polygon.
        """
        (path,) = paths
        entries = _entries(path)
        name = name_for(image.path, entries)
        if name is None:
            raise UserError(
                f"{path} has no entry for {image.name}; name the image as its External ID."
            )
        outlines: list[BaseGeometry] = []
        classes: list[str] = []
        for class_name, drawn in entries[name].items():
            for at, item in enumerate(drawn if isinstance(drawn, list) else [drawn], start=1):
                where = f"{path}, {name}, {class_name} {at}"
                outlines.append(_polygon(item, where))
                classes.append(class_name)
        return Annotation(centres_of(outlines), tuple(classes), outlines=tuple(outlines))


def _entries(path: Path) -> dict[str, Mapping[str, Any]]:
    document = load_shared_json(path)
    if not isinstance(document, list):
        raise UserError(f"{path} holds no list of images; export it from Labelbox as JSON (XY).")
    entries: dict[str, Mapping[str, Any]] = {}
    for at, entry in enumerate(document, start=1):
        label = entry.get(_LABEL) if isinstance(entry, dict) else None
        if label == "Skip":  # what Labelbox writes for an image that nobody labelled
            continue
        if not isinstance(label, dict) or not isinstance(entry.get(_IMAGE), str):
            raise UserError(
                f"{path}, entry {at} lacks '{_IMAGE}' or '{_LABEL}'; "
                "export it from Labelbox as JSON (XY)."
            )
        entries[entry[_IMAGE]] = label
    return entries


def _polygon(item: Any, where: str) -> BaseGeometry:
    corners = item.get("geometry") if isinstance(item, dict) else None
    if not isinstance(corners, list) or not all(isinstance(c, dict) for c in corners):
        raise UserError(f"{where} has no list of corners under 'geometry'; export the file again.")
    if len(corners) < 3:
        raise UserError(
            f"{where} has {counted(len(corners), 'corner')}, not 3 or more; redraw or delete it."
        )
    return shapely.Polygon(
        np.array([[number(corner.get(axis), where) for axis in "xy"] for corner in corners])
    )
