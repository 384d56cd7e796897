"""Each test image's figures in a run's folder, which runs are compared by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from transfer_kit.evaluation import score_image
from transfer_kit.evaluation.statistics import precision_recall_f1
from transfer_kit.files import replacing

if TYPE_CHECKING:
    from transfer_kit.run import Column

IMAGES = "test_images.csv"
HEADER = ("column", "image", "case", "n_true", "n_false", "n_missed", "f1", "aji")


def write_image_figures(folder: Path, columns: Mapping[str, Column]) -> None:
    """A row for each column and test image: true, false and missed nuclei, F1, AJI where known."""
    rows = [row for name, column in columns.items() for row in _rows(name, column)]
    with replacing(folder / IMAGES) as temporary:
        pd.DataFrame(rows, columns=list(HEADER)).to_csv(temporary, index=False)


def read_image_figures(folder: Path, column: str) -> pd.DataFrame | None:
    """The rows of one column, by image; None where the run has none."""
    try:
        table = pd.read_csv(folder / IMAGES, dtype={"image": str, "case": str, "column": str})
    except (OSError, ValueError):  # an older version's run, or a damaged file
        return None
    own = table[table["column"] == column]
    return own.set_index("image") if len(own) else None


def _rows(name: str, column: Column) -> list[Sequence[object]]:
    scores, whole = column.scores, column.segmentation
    aji = {} if whole is None else {image.id: image.aji for image in whole.images}
    rows: list[Sequence[object]] = []
    for image in column.examined:
        counts = score_image(
            image.truth,
            image.found.above(scores.threshold),
            radius_px=scores.radius_um / image.mpp,
            size=image.size,
        ).counts
        f1 = float(precision_recall_f1(counts)[2])
        numbers = [int(count) for count in counts]
        rows.append([name, image.id, image.case, *numbers, f1, aji.get(image.id)])
    return rows
