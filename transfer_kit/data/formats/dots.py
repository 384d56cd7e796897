"""Dot images: sparse marks on an empty ground, as in the VGG cell set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo, check_size
from transfer_kit.data.formats.instances import LABEL_SUFFIXES, named_as_mask, read_labels
from transfer_kit.errors import UserError

DOT_NAMES = ("dots", "dot", "points")
_LARGEST_DOT_PX = 100
_MOST_MARKED = 0.05


@dataclass(frozen=True)
class Dots:
    """Marks of any colour on black, each 8-connected mark one nucleus with its centroid.

    Where most marks are single pixels, each pixel is a nucleus: two that touch are two clicks (in
    the VGG set, whose published counts are counts of pixels).
    """

    name: str = "dots"
    description: str = "dot images: a small mark or single pixel at each nucleus"

    def recognises(self, path: Path) -> bool:
        """An image named `*dots` or `*points`, or one of few tiny marks."""
        if path.suffix.lower() not in LABEL_SUFFIXES:
            return False
        if path.stem.lower().endswith(DOT_NAMES):
            return True
        if named_as_mask(path):
            return False
        try:
            marked = read_labels(path) != 0
        except UserError:
            return False
        if not marked.any() or marked.mean() > _MOST_MARKED:
            return False
        count, _, facts, _ = _marks(marked)
        return bool(count > 1 and np.median(facts[1:, cv2.CC_STAT_AREA]) <= 4)

    def images_of(self, path: Path) -> frozenset[str]:
        """None: a file serves one image."""
        return frozenset()

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """Centres of the marks.

        Raises:
            UserError: the file is damaged, of another size than the image, or no dot image.
        """
        (path,) = paths
        marked = read_labels(path) != 0
        check_size(path, (marked.shape[0], marked.shape[1]), image)
        count, _, facts, centres = _marks(marked)
        areas = facts[1:, cv2.CC_STAT_AREA]
        if count > 1 and areas.max() > _LARGEST_DOT_PX:
            raise UserError(
                f"{path} has a mark of {areas.max()} pixels, too large for a dot; "
                "read it as instances, or give dots on black."
            )
        if count > 1 and np.median(areas) == 1:
            return Annotation.of_points(np.argwhere(marked)[:, ::-1].astype(np.float32))
        return Annotation.of_points(centres[1:].astype(np.float32))


def _marks(marked: NDArray[np.bool_]) -> tuple[int, Any, NDArray[Any], NDArray[Any]]:
    found = cv2.connectedComponentsWithStats(marked.astype(np.uint8), connectivity=8)
    return int(found[0]), found[1], found[2], found[3]
