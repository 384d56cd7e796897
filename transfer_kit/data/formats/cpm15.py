"""CPM-15 text masks: a size, then one label a line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo, check_size
from transfer_kit.data.formats.documents import peek, read_text
from transfer_kit.data.formats.instances import annotation_of_labels
from transfer_kit.errors import UserError


@dataclass(frozen=True)
class Cpm15:
    """First line "width height", then the instance label of each pixel, row by row."""

    name: str = "cpm15"
    description: str = 'CPM-15 text masks: "width height", then a label a line'

    def recognises(self, path: Path) -> bool:
        """Two whole numbers, and below them lines of one; or a name that ends so."""
        head = peek(path, (".txt",))
        return bool(re.match(r"\s*-?\d+[ \t]+-?\d+[ \t]*\r?\n\s*\d+[ \t]*(\r?\n|$)", head)) or (
            path.name.lower().endswith("_mask.txt")
        )

    def images_of(self, path: Path) -> frozenset[str]:
        """None: a file serves one image."""
        return frozenset()

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """Centres and the instance map.

        Raises:
            UserError: the file is cut short, holds anything but labels, or fits another image.
        """
        (path,) = paths
        text = read_text(path)
        first, _, rest = text.lstrip().partition("\n")
        size = re.fullmatch(r"(\d+)\s+(\d+)\s*", first)
        if size is None or int(size[1]) < 1 or int(size[2]) < 1:
            raise UserError(
                f"{path}, line 1: {first.strip()[:40]!r} is no size; write the width and height."
            )
        width, height = int(size[1]), int(size[2])
        labels = _labels(path, rest)
        if len(labels) != width * height:
            because = "is cut short" if len(labels) < width * height else "has lines too many"
            raise UserError(
                f"{path}, line {len(labels) + 1}: the file {because}, with {len(labels)} labels "
                f"for {width} x {height} pixels; copy it again from its source."
            )
        check_size(path, (height, width), image)
        return annotation_of_labels(labels.reshape(height, width), path)


def _labels(path: Path, text: str) -> NDArray[np.int64]:
    words = text.split()
    try:
        labels = np.array(words, dtype=np.int64) if words else np.zeros(0, np.int64)
    except (ValueError, OverflowError):
        labels = np.full(1, -1)
    if labels.min(initial=0) >= 0:
        return labels
    faulty = next(k for k, word in enumerate(words) if not re.fullmatch(r"\d{1,18}", word))
    raise UserError(
        f"{path}, line {faulty + 2}: {words[faulty][:40]!r} is no label; "
        "each line holds one whole number, 0 or more."
    )
