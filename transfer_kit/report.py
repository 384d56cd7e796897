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
    }


def comparison_table(columns: Mapping[str, DetectionScores], radius_um: float) -> Table:
    """One titled column a detector, one row a figure, all on the same test images."""
    any_scores = next(iter(columns.values()))
    table = Table(
        title=f"{counted(any_scores.n_images, 'test image')} of "
        f"{counted(any_scores.n_cases, 'case')}, {counted(any_scores.n_nuclei, 'nucleus')}, "
        f"matched within {radius_um:g} µm"
    )
    table.add_column("")
    for title in columns:
        table.add_column(title, justify="right")
    told = [score_rows(scores) for scores in columns.values()]
    for title in told[0]:
        table.add_row(title, *(rows[title] for rows in told))
    return table


def score_rows(scores: DetectionScores) -> dict[str, str]:
    """The figures that people read, as text, by their names."""
    interval = (
        "–"
        if scores.f1_low is None or scores.f1_high is None
        else f"{scores.f1_low:.3f}–{scores.f1_high:.3f}"
    )
    distance = scores.distance_median
    return {
        "F1": f"{scores.f1:.3f}",
        "95 % interval": interval,
        "precision": f"{scores.precision:.3f}",
        "recall": f"{scores.recall:.3f}",
        "median distance": "–" if distance is None else f"{distance:.2f} µm",
        "threshold": f"{scores.threshold:.3f}",
    }


def write_figures(
    folder: Path,
    examined: Mapping[str, tuple[Sequence[Evaluated], float]],
    curves: Mapping[str, Sequence[tuple[int, float]]],
    *,
    radius_um: float,
) -> None:
    """Precision-recall and learning curves of each titled column as PNG in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    named = {title: pairs for title, (pairs, _) in examined.items()}
    marks = {title: threshold for title, (_, threshold) in examined.items()}
    precision_recall_figure(
        named, folder / "precision_recall.png", radius_um=radius_um, thresholds=marks
    )
    if any(curves.values()):
        learning_curves(curves, folder / "learning_curves.png")


def write_overlays(
    folder: Path,
    samples: Sequence[Sample],
    examined: Mapping[str, tuple[Sequence[Evaluated], float]],
    *,
    radius_um: float,
) -> None:
    """True, false and missed nuclei of the first samples examined, the columns side by side."""
    # As `examine` does: without known nuclei nothing is true or false.
    samples = [sample for sample in samples if sample.annotation().knows_nuclei]
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
