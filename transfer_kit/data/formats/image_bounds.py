"""Do the labels of a file lie in its image at all?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo
from transfer_kit.errors import UserError
from transfer_kit.wording import counted

_RIM_PX = 2.0  # a slip of the hand


def refuse_all_outside(path: Path, annotation: Annotation, image: ImageInfo) -> None:
    """Refuse labels none of which lies in the image; some outside are `data check`'s affair.

    Raises:
        UserError: nuclei and regions are all more than 2 px outside, with what seems to be wrong.
    """
    boxes = _boxes(annotation)
    if not len(boxes) or _touching(boxes, image.width, image.height).any():
        return
    x, y = boxes[0, :2] + 0.5
    what = counted(len(annotation), "nucleus") if len(annotation) else "regions alone"
    if _touching(boxes, image.height, image.width).all():
        mend = "x and y seem exchanged, since all would fit an image on its side; exchange them"
    else:
        mend = (
            "export from this very image (positions in a slide are not those in a tile of it), or "
            "give the file the name of its own image"
        )
    raise UserError(
        f"{path}: not one of its labels ({what}) lies in {image.name} of {image.width} x "
        f"{image.height} px, the first is at ({x:g}, {y:g}); {mend}."
    )


def _boxes(annotation: Annotation) -> NDArray[np.float64]:
    """Left, top, right, bottom `(N, 4)` of nuclear centres and regions."""
    areas = [*annotation.labelled_regions, *(area for _, area in annotation.region_labels)]
    bounds = np.array([area.bounds for area in areas], np.float64).reshape(-1, 4)
    return np.concatenate([np.tile(annotation.points.astype(np.float64), 2), bounds])


def _touching(boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    low, high = -0.5 - _RIM_PX, np.array([width, height]) - 0.5 + _RIM_PX
    return np.asarray(np.all((boxes[:, 2:] >= low) & (boxes[:, :2] <= high), axis=1))
