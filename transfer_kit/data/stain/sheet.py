"""A page that shows what a stain setting does to a dataset's own images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError
from transfer_kit.files import replacing

Change = Callable[[NDArray[np.uint8], np.random.Generator, str], NDArray[np.uint8]]
"""An image, random numbers and its name, to another image."""

_SIDE, _GAP, _CAPTION, _TITLE = 200, 6, 20, 28
_MOST_ROWS = 8


def stain_sheet(
    dataset: Dataset, path: str | Path, change: Change, *, columns: int, title: str
) -> Path:
    """Write a PNG with up to eight images, each as it is and `columns` times changed.

    The images are evenly spaced over the dataset; of each the middle is shown, pixel for pixel,
    and the change is made to the whole image. Random numbers come from the places on the page.

    Args:
        dataset: Whose images.
        path: Of the PNG.
        change: The setting.
        columns: Changed versions of each image.
        title: What to write above.

    Raises:
        UserError: an image cannot be read, or the file cannot be written.
    """
    samples = _spread(dataset.samples)
    if not samples:
        raise UserError(f"{dataset.name} has no image to show; add some.")
    width = (columns + 1) * (_SIDE + _GAP) + _GAP
    height = _TITLE + len(samples) * (_SIDE + _CAPTION + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 7), f"{dataset.name}: {title}", "black", ImageFont.load_default(14))
    for row, sample in enumerate(samples):
        top = _TITLE + row * (_SIDE + _CAPTION + _GAP)
        image = sample.image()
        shown = [image]
        for column in range(columns):
            rng = np.random.default_rng([row, column])
            shown.append(change(image, rng, sample.id))
        for column, each in enumerate(shown):
            left = _GAP + column * (_SIDE + _GAP)
            sheet.paste(Image.fromarray(_middle(each)), (left, top))
        caption = f"{sample.id[-60:]}: as it is, then changed"
        draw.text((_GAP, top + _SIDE + 2), caption, "black", ImageFont.load_default(12))
    path = Path(path)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    count = min(len(samples), _MOST_ROWS)
    return [samples[index] for index in np.linspace(0, len(samples) - 1, count).astype(int)]


def _middle(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    top, left = max(0, (height - _SIDE) // 2), max(0, (width - _SIDE) // 2)
    return np.ascontiguousarray(image[top : top + _SIDE, left : left + _SIDE])
