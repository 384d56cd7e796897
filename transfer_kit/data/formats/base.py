"""What a format of annotation is, and what its readers share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.images import IMAGE_SUFFIXES, image_size
from transfer_kit.errors import UserError, nearest_hint


@dataclass(frozen=True)
class ImageInfo:
    """The image that an annotation belongs to; height and width in pixels."""

    name: str
    path: Path
    height: int
    width: int

    @classmethod
    def of(cls, path: str | Path) -> ImageInfo:
        """Name and size of the image file, read from its header."""
        path = Path(path)
        height, width = image_size(path)
        return cls(path.name, path, height, width)


@dataclass(frozen=True)
class AnnotationSource:
    """The files that annotate one image, and the name of their format in `FORMATS`."""

    format: str
    paths: tuple[Path, ...]


class Format(Protocol):
    """One way of writing annotations down; a file of `transfer_kit.data.formats` each."""

    @property
    def name(self) -> str:
        """The word for it on the command line."""

    @property
    def description(self) -> str:
        """One line for the docs."""

    def recognises(self, path: Path) -> bool:
        """Whether the file is of this format, by a cheap look into it; never raises."""

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """The annotation of `image`.

        Raises:
            UserError: a file is damaged, or does not fit the image.
        """

    def images_of(self, path: Path) -> frozenset[str]:
        """Names of the images that one file annotates; empty where a file serves one image."""


@dataclass(frozen=True)
class RegionNames:
    """Which class names mean areas rather than nuclei; compared without regard to case.

    Attributes:
        labelled: Inside these, every nucleus is annotated.
        prefix: A class that begins so is a weak label of area; what follows is its class.
    """

    labelled: tuple[str, ...] = ("Labelled region", "Labeled region", "Region*")
    prefix: str = "Region: "

    def is_labelled(self, name: str) -> bool:
        """Whether the class marks a labelled region."""
        return name.strip().casefold() in {known.casefold() for known in self.labelled}

    def label_of(self, name: str) -> str | None:
        """The class of area after the prefix, or None."""
        if name.casefold().startswith(self.prefix.casefold()):
            return name[len(self.prefix) :].strip() or None
        return None


def unknown_format(name: str, known: Iterable[str]) -> UserError:
    """The error for a format that does not exist, with the nearest that does."""
    hint = nearest_hint(name, known)
    return UserError(f"Unknown annotation format '{name}'; {hint[0].lower()}{hint[1:]}")


def name_for(path: Path, names: Iterable[str]) -> str | None:
    """Which of the names in a file of many images means the image at `path`; None if none does.

    The longest agreeing end of the path wins, then an equal stem (the images were saved anew in
    another format), then the image's folder (each image lies in a folder of its own name).
    """
    known = sorted(set(names))
    parts = {name: PurePosixPath(name.replace("\\", "/")).parts[::-1] for name in known}
    agreeing = {name: _agreement(path.parts[::-1], own) for name, own in parts.items()}
    best = max(known, key=lambda name: agreeing[name], default=None)
    if best is not None and agreeing[best]:
        return best
    for word in (path.stem, path.parent.name):
        for name in known:
            if parts[name] and word in (parts[name][0], PurePosixPath(parts[name][0]).stem):
                return name
    return None


def _agreement(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts from the end are equal."""
    return next(
        (k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def centres_of(outlines: Sequence[BaseGeometry]) -> Points:
    """Centroids `(N, 2)` float32 of polygons, and points as they are.

    A polygon that crosses itself counts by the area that it encloses, one without area by the mean
    of its vertices.
    """
    shapes = np.array(outlines, dtype=object)
    if not len(shapes):
        return np.zeros((0, 2), np.float32)
    crossing = ~shapely.is_valid(shapes)
    shapes[crossing] = shapely.make_valid(shapes[crossing], method="structure")
    centres = shapely.get_coordinates(shapely.centroid(shapes))
    flat = (shapely.area(shapes) == 0) & (shapely.get_dimensions(shapes) > 0)
    for k in np.flatnonzero(flat).tolist():
        centres[k] = shapely.get_coordinates(outlines[k]).mean(axis=0)
    return centres.astype(np.float32)


def ellipse_in(left: float, top: float, right: float, bottom: float) -> BaseGeometry:
    """The ellipse in a box, as a polygon of 64 corners."""
    centre = np.array([left + right, top + bottom]) / 2
    radii = np.array([right - left, bottom - top]) / 2
    circle = shapely.get_coordinates(shapely.Point(0, 0).buffer(1, quad_segs=16))
    return shapely.Polygon(circle * radii + centre)


def check_size(path: Path, size: tuple[int, int], image: ImageInfo) -> None:
    """Refuse a mask of `size` (height, width) that is not the image's.

    Raises:
        UserError: with both sizes, and another image of the folder that the mask fits.
    """
    if size == (image.height, image.width):
        return
    others = [other for other in _siblings(image.path) if _size_or_none(other) == size]
    if size == (image.width, image.height):
        mend = "its rows and columns seem exchanged, so transpose it"
    elif others:
        mend = f"it fits {others[0].name}: the two masks seem exchanged, so rename them"
    else:
        mend = "give the mask of this very image"
    raise UserError(
        f"{path} is {size[1]} x {size[0]} pixels, but {image.name} is "
        f"{image.width} x {image.height}; {mend}."
    )


def _siblings(path: Path) -> list[Path]:
    if not path.parent.is_dir():
        return []
    return [
        other
        for other in sorted(path.parent.iterdir())
        if other.suffix.lower() in IMAGE_SUFFIXES and other != path
    ]


def _size_or_none(path: Path) -> tuple[int, int] | None:
    try:
        return image_size(path)
    except UserError:
        return None
