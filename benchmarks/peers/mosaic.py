"""One large image with all its nuclei known, laid together from annotated ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.files import replacing
from transfer_kit.stores.locations import data_folders

SIDE, TILE, MPP = 4000, 1000, 0.25
SEED = 0


def write_mosaic(path: Path) -> Path:
    """`path` with `image` `(4000, 4000, 3)` uint8 RGB and `labels` `(4000, 4000)` int32.

    Sixteen of MoNuSeg's thirty images, chosen by a seed, every second one mirrored. A nucleus that
    was cut by the edge of its image stays cut.
    """
    if path.is_file():
        return path
    sources = _sources()
    chosen = np.random.default_rng(SEED).permutation(len(sources))[: (SIDE // TILE) ** 2]
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    labels = np.zeros((SIDE, SIDE), np.int32)
    for place, source in enumerate(chosen):
        row, column = divmod(place, SIDE // TILE)
        at = np.s_[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        pixels, own = (one[:, :: -1 if place % 2 else 1] for one in _read(*sources[source]))
        image[at] = pixels
        labels[at] = np.where(own > 0, own + labels.max(), 0)
    with replacing(path) as temporary:
        np.savez_compressed(temporary, image=image, labels=labels)
    return path


def _sources() -> list[tuple[Path, Path]]:
    beside = Path(__file__).parents[3] / "shared" / "data"
    for folder in (*data_folders(), beside):
        images = sorted((folder / "monuseg" / "images").glob("*.png"))
        if images:
            labels = folder / "monuseg" / "labels"
            return [(image, next(labels.glob(f"*_{image.stem}_label.png"))) for image in images]
    raise SystemExit("MoNuSeg is not here: set TRANSFER_KIT_DATA to a folder that holds monuseg/.")


def _read(image: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    pixels = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB)
    own = cv2.imread(str(labels), cv2.IMREAD_UNCHANGED).astype(np.int32)
    if pixels.shape[:2] != (TILE, TILE) or own.shape != (TILE, TILE):
        raise SystemExit(f"{image} is not an image of {TILE} x {TILE} with labels like it.")
    return pixels, own
