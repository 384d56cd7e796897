"""What a run leaves for people: a table, curves, and overlays on the test images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from transfer_kit.data.sample import Sample
from transfer_kit.evaluation import (
    DetectionScores,
    Evaluated,
    SegmentationScores,
    before_after_strip,
    learning_curves,
    overlay,
    precision_recall_figure,
)
from transfer_kit.inference.writers import write_png
from transfer_kit.wording import counted


def column_titles(*, has_base: bool) -> dict[str, str]:
    """What people read over each column of a run."""
    return {
        "base": "base as it is",
        "base_recalibrated": "base, recalibrated",
        "finetuned": "fine-tuned" if has_base else "trained",
        "scratch": "from scratch",
        "adapted": "adapted without labels",
    }


def comparison_table(
    columns: Mapping[str, DetectionScores],
    radius_um: float,
    whole_nuclei: Mapping[str, SegmentationScores | None] | None = None,
) -> Table:
    """One titled column a detector, one row a figure, all on the same test images.

    Args:
        columns: By title.
        radius_um: Largest distance of a match in µm.
        whole_nuclei: By title, of detectors that find instances; the others have a dash there.
    """
    any_scores = next(iter(columns.values()))
    table = Table(
        title=f"{counted(any_scores.n_images, 'test image')} of "
        f"{counted(any_scores.n_cases, 'case')}, {counted(any_scores.n_nuclei, 'nucleus')}, "
        f"matched within {radius_um:g} µm"
    )
    table.add_column("")
    for title in columns:
        table.add_column(title, justify="right")
    told = [
        score_rows(scores) | whole_nuclei_rows((whole_nuclei or {}).get(title))
        for title, scores in columns.items()
    ]
    for name in dict.fromkeys(name for rows in told for name in rows):
        table.add_row(name, *(rows.get(name, "–") for rows in told))
    return table


def score_rows(scores: DetectionScores) -> dict[str, str]:
    """The figures that people read, as text, by their names."""
    distance = scores.distance_median
    return {
        "F1": f"{scores.f1:.3f}",
        "95 % interval": _interval(scores.f1_low, scores.f1_high),
        "precision": f"{scores.precision:.3f}",
        "recall": f"{scores.recall:.3f}",
        "median distance": "–" if distance is None else f"{distance:.2f} µm",
        "threshold": f"{scores.threshold:.3f}",
    }


def whole_nuclei_rows(scores: SegmentationScores | None) -> dict[str, str]:
    """The same of whole nuclei, means over the images; nothing where there is none to compare."""
    if scores is None or scores.aji is None:
        return {}
    return {
        "AJI": f"{scores.aji:.3f}",
        "95 % interval of AJI": _interval(scores.aji_low, scores.aji_high),
        "AJI+": f"{scores.aji_plus:.3f}",
        "PQ": f"{scores.pq:.3f}",
        "DQ": f"{scores.dq:.3f}",
        "SQ": f"{scores.sq:.3f}",
        "Dice of pixels": f"{scores.dice:.3f}",
    }


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3f}–{high:.3f}"


def write_figures(
    folder: Path,
    examined: Mapping[str, tuple[Sequence[Evaluated], float]],
    curves: Mapping[str, Sequence[tuple[int, float]]],
    *,
    radius_um: float,
    judged_by: str = "F1",
) -> None:
    """Precision-recall and learning curves of each titled column as PNG in `folder`.

    Args:
        folder: Made where it is not there yet.
        examined: The images of each column, and its threshold.
        curves: `(step, value)` pairs in order, of each training.
        radius_um: Largest distance of a match in µm.
        judged_by: What the values of `curves` are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {title: pairs for title, (pairs, _) in examined.items()}
    marks = {title: threshold for title, (_, threshold) in examined.items()}
    precision_recall_figure(
        named, folder / "precision_recall.png", radius_um=radius_um, thresholds=marks
    )
    if any(curves.values()):
        learning_curves(curves, folder / "learning_curves.png", ylabel=f"{judged_by} on validation")


def write_overlays(
    folder: Path,
    samples: Sequence[Sample],
    examined: Mapping[str, tuple[Sequence[Evaluated], float]],
    *,
    radius_um: float,
) -> None:
    """True, false and missed nuclei of the first samples examined, the columns side by side."""
    # As `examine` does: elsewhere nothing tells which detections are false.
    samples = [sample for sample in samples if sample.annotation().tells_false]
    for position, sample in enumerate(samples):
        image = sample.image()
        panels: list[tuple[str, NDArray[np.uint8]]] = []
        for title, (pairs, threshold) in examined.items():
            pair = pairs[position]
            drawn = overlay(
                image, pair.truth, pair.found.above(threshold), radius_um=radius_um, mpp=sample.mpp
            )
            panels.append((title, drawn))
        name = re.sub(r"[^\w.-]+", "-", sample.id)
        write_png(folder / f"{name}.png", before_after_strip(panels))
