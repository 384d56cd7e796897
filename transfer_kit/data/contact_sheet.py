"""All images of a dataset on one page, small, with their annotations drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.wording import counted

# Okabe and Ito's colours, which colour-blind people tell apart, as far as they show on H&E.
_COLOURS = ("#00e0ff", "#ffe000", "#009e73", "#ffffff", "#e69f00", "#56b4e9", "#000000")
_REGION = "#ffe000"
_SIDE, _GAP, _CAPTION, _TITLE = 320, 8, 34, 30
_MOST = 400


def contact_sheet(dataset: Dataset, path: str | Path, columns: int | None = None) -> Path:
    """Write a PNG with a thumbnail of every image (the first 400), and give back its path.

    Nuclei are circles (or their outlines) in a colour per class, labelled regions are yellow
    frames; below stand id, case, split and number of nuclei, or what could not be read.

    Raises:
        UserError: the file cannot be written.
    """
    samples = dataset.samples[:_MOST]
    columns = columns or max(1, min(6, round(len(samples) ** 0.5 + 0.3)))
    rows = -(-len(samples) // columns)
    width = columns * (_SIDE + _GAP) + _GAP
    height = _TITLE + rows * (_SIDE + _CAPTION + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    names = list(dataset.card.classes)
    for index, sample in enumerate(samples):
        left = _GAP + index % columns * (_SIDE + _GAP)
        top = _TITLE + index // columns * (_SIDE + _CAPTION + _GAP)
        thumbnail, count = _thumbnail(sample, names)
        sheet.paste(thumbnail, (left, top))
        split = dataset.split_of(sample) or "no split"
        caption = f"{_fitted(sample.id)}\n{_fitted(f'case {sample.case}', 26)} · {split} · {count}"
        draw.multiline_text((left, top + _SIDE + 2), caption, "black", ImageFont.load_default(12))
    _write_title(draw, dataset, names, len(samples))
    path = Path(path)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def _thumbnail(sample: Sample, names: list[str]) -> tuple[Image.Image, str]:
    """A square of `_SIDE` pixels with the image and its annotation, and what to say of it."""
    square = Image.new("RGB", (_SIDE, _SIDE), "#dddddd")
    try:
        image = Image.fromarray(sample.image())
    except UserError:
        return square, "image cannot be read"
    factor = _SIDE / max(image.size)
    size = tuple(max(1, round(edge * factor)) for edge in image.size)
    square.paste(image.resize((size[0], size[1]), Image.Resampling.BOX))
    if sample.source is None:
        return square, "no annotation"
    try:
        annotation = sample.annotation()
    except UserError:
        return square, "annotation cannot be read"
    _draw(ImageDraw.Draw(square), annotation, factor, names)
    return square, counted(len(annotation), "nucleus")


def _draw(
    draw: ImageDraw.ImageDraw, annotation: Annotation, factor: float, names: list[str]
) -> None:
    outlines: Sequence[BaseGeometry | None] = annotation.outlines or (None,) * len(annotation)
    points = (annotation.points + 0.5) * factor - 0.5
    for (x, y), name, outline in zip(points, annotation.classes, outlines, strict=True):
        colour = _colour(name, names)
        if outline is None:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), outline=colour)
        else:
            _draw_outline(draw, outline, factor, colour)
    for region in annotation.labelled_regions:
        _draw_outline(draw, region, factor, _REGION, width=3)
    for name, region in annotation.region_labels:
        _draw_outline(draw, region, factor, _colour(name, names), width=2)


def _draw_outline(
    draw: ImageDraw.ImageDraw, shape: BaseGeometry, factor: float, colour: str, width: int = 1
) -> None:
    for part in getattr(shape, "geoms", [shape]):
        exterior = getattr(part, "exterior", None)
        if exterior is not None and not exterior.is_empty:
            corners: NDArray[np.float64] = (np.asarray(exterior.coords)[:, :2] + 0.5) * factor - 0.5
            draw.line([(float(x), float(y)) for x, y in corners], fill=colour, width=width)


def _colour(name: str, names: list[str]) -> str:
    """The colour of a class; new ones are added to `names` so that each keeps its own."""
    if not name:
        return _COLOURS[0]
    if name not in names:
        names.append(name)
    return _COLOURS[names.index(name) % len(_COLOURS)]


def _write_title(draw: ImageDraw.ImageDraw, dataset: Dataset, names: list[str], shown: int) -> None:
    font = ImageFont.load_default(14)
    title = (
        f"{dataset.name}: {counted(len(dataset), 'image')}, {counted(len(dataset.cases), 'case')}"
    )
    if shown < len(dataset):
        title += f" (the first {shown} shown)"
    left = float(_GAP)
    draw.text((left, 7), title, "black", font)
    left += draw.textlength(title, font) + 20
    for name in names:
        draw.rectangle((left, 10, left + 12, 20), fill=_colour(name, names), outline="black")
        draw.text((left + 18, 7), name, "black", font)
        left += draw.textlength(name, font) + 38


def _fitted(text: str, most: int = 46) -> str:
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-most // 2 :]}"
