from __future__ import annotations

import io

import numpy as np
from drawn_instances import annotated
from rich.console import Console
from scattered_nuclei import evaluated

from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation import evaluate, evaluate_segmentation
from transfer_kit.report import comparison_table


def half_found(case, *, whole):
    """A square nucleus of 8 × 8 pixels, of which a detection of 8 × 4 lies in the left half."""
    truth, found = np.zeros((2, 20, 20), np.int32)
    truth[4:12, 4:12], found[4:12, 4:8] = 1, 1
    nuclei = Nuclei([[5.5, 7.5]], [0.9], ("",), found if whole else None)
    return evaluated(annotated(truth), nuclei, case=case, size=(20, 20))


def rows_of(table):
    """The cells of each row, as they are printed."""
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    lines = [line for line in console.file.getvalue().splitlines() if line.startswith("│")]
    rows = [[cell.strip() for cell in line[1:-1].split("│")] for line in lines]
    return {name: cells for name, *cells in rows}


def test_whole_nuclei_have_rows_of_their_own_and_detectors_of_centres_a_dash():
    images = {
        title: [half_found(case, whole=whole) for case in ("a", "b")]
        for title, whole in (("base", False), ("fine-tuned", True))
    }
    scores = {title: evaluate(pairs, radius_um=2, threshold=0.5) for title, pairs in images.items()}
    whole = {title: evaluate_segmentation(pairs, threshold=0.5) for title, pairs in images.items()}
    rows = rows_of(comparison_table(scores, 2, whole))
    assert rows["F1"] == ["1.000", "1.000"]
    assert rows["AJI"] == rows["AJI+"] == ["–", "0.500"]  # 32 of 64 pixels
    assert rows["95 % interval of AJI"] == ["–", "0.500–0.500"]
    assert rows["PQ"] == rows["DQ"] == ["–", "0.000"]  # not more than half
    assert rows["Dice of pixels"] == ["–", "0.667"]  # 2 · 32 / (64 + 32)


def test_detectors_of_centres_alone_have_no_such_rows():
    scores = {"base": evaluate([half_found("a", whole=False)], radius_um=2, threshold=0.5)}
    rows = rows_of(comparison_table(scores, 2, {"base": None}))
    assert list(rows) == [
        "F1",
        "95 % interval",
        "precision",
        "recall",
        "median distance",
        "threshold",
    ]
    assert rows["95 % interval"] == ["–"]
