"""Labelled regions of slides cut out as images, so that a training reads them as a dataset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from math import ceil, floor
from pathlib import Path

import shapely
from PIL import Image
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import AnnotationSource, write_geojson
from transfer_kit.data.regions import crop_annotation
from transfer_kit.data.slides.slide import Slide
from transfer_kit.files import replacing
from transfer_kit.viewer.label_file import LabelFile, why_not_writable
from transfer_kit.viewer.refusal import Refused
from transfer_kit.viewer.shown import Shown

LARGEST_PX = 8_192
"""Longest side of a labelled region that is cut out."""

MARGIN_PX = 64
"""Tissue around a region that goes with it: what a network sees of its rim."""

Box = tuple[int, int, int, int]
"""First column and row, width and height."""


def kept_in(folder: Path, image: Shown) -> LabelFile:
    """The labels of an image that are kept in a folder, whatever lies beside the image."""
    place = folder / "slides" / f"{stem_of(image)}.geojson"
    source = image.labels.source
    if image.labels.path.is_file():
        source = AnnotationSource("geojson", (image.labels.path,))
    return LabelFile(place, source, image.labels.names, why_not_writable(place))


def stem_of(image: Shown) -> str:
    """What the images that are cut out of this one begin with."""
    return re.sub(r"[^\w.+-]+", "_", str(Path(image.name).with_suffix(""))).strip("_")


def cut_out(
    slide: Slide, labels: Annotation, folder: Path, *, stem: str, mpp: float | None
) -> list[Path]:
    """Write each labelled region and its nuclei as an image of a dataset; gives back the images.

    Those of regions that are no more are deleted: exactly the files called
    `STEM_xCOLUMN_yROW_WIDTHxHEIGHT`, as this function writes them.

    Raises:
        Refused: a region is too large.
        UserError: the slide is damaged there, or a file cannot be written.
    """
    boxes = {
        f"{stem}_x{x}_y{y}_{width}x{height}": (x, y, width, height)
        for x, y, width, height in _boxes(labels.labelled_regions, slide.size)
    }
    images = {name: folder / "images" / f"{name}.png" for name in boxes}
    for name, (x, y, width, height) in boxes.items():
        part = crop_annotation(labels, x0=x, y0=y, width=width, height=height)
        write_geojson(folder / "annotations" / f"{name}.geojson", _within(part, width, height))
        if not images[name].is_file():
            dots_per_inch = None if mpp is None else (25_400 / mpp, 25_400 / mpp)
            pixels = Image.fromarray(slide.read(0, x, y, width, height))
            with replacing(images[name]) as temporary:
                pixels.save(temporary, "PNG", **({"dpi": dots_per_inch} if dots_per_inch else {}))
    _delete_others(folder, stem, set(boxes))
    return list(images.values())


def _boxes(regions: Sequence[BaseGeometry], size: tuple[int, int]) -> list[Box]:
    """A window of whole pixels around each region."""
    height, width = size
    boxes = []
    for region in regions:
        left, top, right, bottom = region.bounds
        if max(right - left, bottom - top) > LARGEST_PX:
            raise Refused(
                422,
                f"A labelled region is {max(right - left, bottom - top):,.0f} px long, more than "
                f"the {LARGEST_PX:,} px that are cut out as one image; draw several smaller ones.",
            )
        x0, y0 = max(0, floor(left) - MARGIN_PX), max(0, floor(top) - MARGIN_PX)
        x1 = min(width, ceil(right) + 1 + MARGIN_PX)
        y1 = min(height, ceil(bottom) + 1 + MARGIN_PX)
        if x1 > x0 and y1 > y0:
            boxes.append((x0, y0, x1 - x0, y1 - y0))
    return boxes


def _within(part: Annotation, width: int, height: int) -> Annotation:
    """With regions cut at the edges of the window."""
    whole = shapely.box(-0.5, -0.5, width - 0.5, height - 0.5)
    labelled = [region.intersection(whole) for region in part.labelled_regions]
    areas = [(name, region.intersection(whole)) for name, region in part.region_labels]
    return replace(
        part,
        labelled_regions=tuple(region for region in labelled if region.area > 0),
        region_labels=tuple((name, region) for name, region in areas if region.area > 0),
    )


def _delete_others(folder: Path, stem: str, wanted: set[str]) -> None:
    ours = re.compile(rf"{re.escape(stem)}_x\d+_y\d+_\d+x\d+")
    for image in (folder / "images").glob("*.png"):
        if ours.fullmatch(image.stem) and image.stem not in wanted:
            image.unlink(missing_ok=True)
            (folder / "annotations" / f"{image.stem}.geojson").unlink(missing_ok=True)
