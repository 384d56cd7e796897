"""A drawn organ as a dataset folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import write_geojson
from transfer_kit.data.synthetic.drawing import ALGORITHM1, classes_of, draw, mpp_of
from transfer_kit.data.synthetic.organs import BY_NAME
from transfer_kit.errors import UserError
from transfer_kit.files import replacing

DESCRIPTION = (
    "SYNTHETIC: drawn by code, not scanned. Made to try the toolkit, to test it and to compare "
    "methods; not for clinical conclusions. A figure measured on it says nothing about patients."
)
ALGORITHM1_DESCRIPTION = (
    "SYNTHETIC: coloured blobs after Algorithm 1 of Naylor et al. 2019, for studies of distance "
    "maps; not for clinical conclusions, and not meant to look like tissue."
)


def make_dataset(
    organ: str,
    folder: Path,
    *,
    cases: int | None = None,
    size: int = 500,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draws `cases` images of `organ` into a new dataset folder, one image a case.

    The folder appears when it is complete; until then, whatever was there stays.

    Args:
        organ: One of `ORGANS`.
        folder: Where: `images/`, `annotations/`, `dataset.yaml`. Annotations are uint16 instance
            label images; of an organ with classes or mitoses GeoJSON with centres and regions.
        cases: Number of cases, at least 3: one each for training, validation and test. None for
            the organ's own, 24, or more where what is annotated is rare.
        size: Side of the square images, pixels.
        seed: Another seed gives other patients.
        progress: Called with the number of cases drawn and their total, after each.

    Raises:
        UserError: `organ` is not known, there are too few cases, or the folder cannot be written.
    """
    if cases is None:
        cases = BY_NAME[organ].cases if organ in BY_NAME else 24
    if cases < 3:
        raise UserError(f"A dataset needs 3 cases or more for its splits, but got {cases=}.")
    with replacing(folder) as temporary:
        for part in ("images", "annotations"):
            (temporary / part).mkdir(parents=True)
        for case in range(cases):
            image, annotation = draw(organ, case=case, size=size, seed=seed)
            name = f"{organ}-{case:02d}"
            _write_png(temporary / "images" / f"{name}.png", image, mpp_of(organ))
            _write_annotation(temporary / "annotations" / name, annotation, organ)
            if progress is not None:
                progress(case + 1, cases)
        card = dataset_card(organ, cases=cases, seed=seed)
        (temporary / "dataset.yaml").write_text(
            yaml.safe_dump(card, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


def dataset_card(organ: str, *, cases: int, seed: int) -> dict[str, object]:
    """What `dataset.yaml` says about the drawn organ."""
    dummy = organ == ALGORITHM1
    drawn = BY_NAME.get(organ)
    return {
        "name": f"{organ}-synthetic" if not dummy else organ,
        "organ": (drawn.site if drawn else "") or organ,
        "species": "human",
        "stain": "none" if drawn is None else "Ki67" if drawn.ki67 else "H&E",
        "mpp": mpp_of(organ),
        "classes": list(classes_of(organ)),
        "case_pattern": rf"({organ}-\d+)",
        "licence": "CC0-1.0",
        "source": f"drawn by transfer-kit (seed {seed})",
        "description": ALGORITHM1_DESCRIPTION if dummy else DESCRIPTION,
        "synthetic": True,
        "images": "images/*.png",
        "annotations": "annotations/{stem}" + _suffix(organ),
        "format": "instances" if _has_instances(organ) else "geojson",
        "splits": splits(organ, cases),
    }


def splits(organ: str, cases: int) -> dict[str, list[str]]:
    """Half of the cases for training, a sixth for validation, a third for test, at least one each.

    Cases are alike in kind, since each is drawn from a stream of its own: they go in order.
    """
    names = [f"{organ}-{case:02d}" for case in range(cases)]
    test = max(cases // 3, 1)
    validation = max(cases // 6, 1)
    train = cases - test - validation
    return {
        "train": names[:train],
        "validation": names[train : train + validation],
        "test": names[train + validation :],
    }


def _has_instances(organ: str) -> bool:
    """Whether all nuclei are annotated, all alike."""
    drawn = BY_NAME.get(organ)
    return drawn is None or (drawn.ki67 is None and drawn.mitoses is None)


def _suffix(organ: str) -> str:
    return ".png" if _has_instances(organ) else ".geojson"


def _write_annotation(stem: Path, annotation: Annotation, organ: str) -> None:
    """Instances where nuclei are all alike, else what QuPath holds: points, classes, regions."""
    path = stem.with_name(stem.name + _suffix(organ))
    if not _has_instances(organ):
        write_geojson(path, annotation)
        return
    if annotation.instances is None:
        raise ValueError("a drawn annotation has instances")
    _write_png(path, annotation.instances.astype(np.uint16), mpp_of(organ))


def _write_png(path: Path, image: np.ndarray, mpp: float) -> None:
    """With the scale in the file, as `read_mpp` finds it."""
    dots_per_inch = 25_400 / mpp
    Image.fromarray(image).save(path, "PNG", dpi=(dots_per_inch, dots_per_inch))
