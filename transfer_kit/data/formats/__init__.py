"""Annotation formats: `FORMATS` by name, finding files and reading them, `WRITERS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import pairing
from transfer_kit.data.formats.aperio import Aperio
from transfer_kit.data.formats.base import (
    AnnotationSource,
    Format,
    ImageInfo,
    RegionNames,
    unknown_format,
)
from transfer_kit.data.formats.coco import Coco
from transfer_kit.data.formats.coco_writer import write_coco
from transfer_kit.data.formats.cpm15 import Cpm15
from transfer_kit.data.formats.crchisto import CrcHisto
from transfer_kit.data.formats.dots import Dots
from transfer_kit.data.formats.geojson import GeoJson
from transfer_kit.data.formats.geojson_writer import write_geojson
from transfer_kit.data.formats.instances import Instances, write_instances
from transfer_kit.data.formats.iphotodraw import IPhotoDraw
from transfer_kit.data.formats.labelbox import Labelbox
from transfer_kit.data.formats.pairing import annotation_images, list_images
from transfer_kit.data.formats.points_csv import PointsCsv, write_csv
from transfer_kit.errors import UserError

# In the order in which a file is looked into: text masks before points, dots before label images.
FORMATS: dict[str, Format] = {
    fmt.name: fmt
    for fmt in (
        GeoJson(),
        Coco(),
        Labelbox(),
        CrcHisto(),
        Aperio(),
        IPhotoDraw(),
        Cpm15(),
        PointsCsv(),
        Dots(),
        Instances(),
    )
}

Writer = Callable[[Path, Sequence[tuple[ImageInfo, Annotation]]], None]


def _one(annotated: Sequence[tuple[ImageInfo, Annotation]]) -> tuple[ImageInfo, Annotation]:
    if len(annotated) != 1:
        raise ValueError(f"this format holds one image a file, but got {len(annotated)}")
    return annotated[0]


def _write_instances(path: Path, annotated: Sequence[tuple[ImageInfo, Annotation]]) -> None:
    image, annotation = _one(annotated)
    write_instances(path, annotation, (image.height, image.width))


WRITERS: dict[str, Writer] = {
    "geojson": lambda path, annotated: write_geojson(path, _one(annotated)[1]),
    "csv": lambda path, annotated: write_csv(path, _one(annotated)[1]),
    "instances": _write_instances,
    "coco": write_coco,
}
"""Writers for `data convert`; all but "coco" take one image a file."""

WRITER_SUFFIXES: dict[str, str] = {
    "geojson": ".geojson",
    "csv": ".csv",
    "instances": "_label.png",
    "coco": ".json",
}
"""What comes after an image's stem, so that `find_annotations` finds what was written."""


def find_annotations(
    folder: str | Path,
    images: Sequence[Path],
    *,
    pattern: str | None = None,
    format: str | None = None,
) -> dict[Path, AnnotationSource]:
    """The annotation of each image that has one; see `pairing.find_annotations`.

    Raises:
        UserError: unknown format, a pattern that fits nothing, two annotations of one image, or a
            file of no known format.
    """
    return pairing.find_annotations(folder, images, formats=FORMATS, pattern=pattern, format=format)


def read_annotation(
    source: AnnotationSource, image: ImageInfo, *, regions: RegionNames | None = None
) -> Annotation:
    """The annotation of `image`, in pixels with centres at integers.

    Args:
        source: From `find_annotations`, or made by hand.
        image: Its size is compared with that of masks.
        regions: Which classes mean areas, where the defaults do not fit.

    Raises:
        UserError: unknown format, or a file that is damaged or does not fit the image.
    """
    fmt = FORMATS.get(source.format)
    if fmt is None:
        raise unknown_format(source.format, FORMATS)
    if regions is not None and isinstance(fmt, (GeoJson, Aperio)):
        fmt = replace(fmt, regions=regions)
    if len(source.paths) != 1 and not isinstance(fmt, CrcHisto):
        names = ", ".join(path.name for path in source.paths)
        raise UserError(
            f"{image.name} has {len(source.paths)} files in {fmt.name}; give one of {names}."
        )
    return fmt.read(source.paths, image)


__all__ = [
    "FORMATS",
    "WRITERS",
    "WRITER_SUFFIXES",
    "AnnotationSource",
    "Format",
    "ImageInfo",
    "RegionNames",
    "annotation_images",
    "find_annotations",
    "list_images",
    "read_annotation",
    "write_coco",
    "write_csv",
    "write_geojson",
    "write_instances",
]
