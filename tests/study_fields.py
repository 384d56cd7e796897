"""A study of the lab of `laboratory`, small enough for a test, and findings that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from laboratory import BASE, TARGET

from transfer_kit.studies.conduct import Prepared, make_all_data, prepare
from transfer_kit.studies.found import Found
from transfer_kit.studies.study import Study
from transfer_kit.studies.work import carry_out

TINY = {
    "patches.size_px": 48,
    "train": {"steps": 8, "validate_every": 4, "batch_size": 2, "schedule": {"name": "constant"}},
}
SCRATCH = {"base": "none", "network.options": {"width": 4, "dropout": 0.1}}


def study(**fields: Any) -> Study:
    """Two starts, one seed; `fields` replace what is said here."""
    return Study.of_fields(
        {
            "question": "Does a base help?",
            "set": {**TINY, "target": TARGET},
            "vary": {"start": {"tuned": {"base": BASE}, "scratch": SCRATCH}, "seed": [0]},
            "summary": {"kind": "compare", "x": "start"},
            **fields,
        }
    )


def carried_out(asked: Study, folder: Path) -> Prepared:
    """The whole study, in this process."""
    prepared = prepare(asked, folder)
    make_all_data(prepared)
    for task in (
        *(base for chain in prepared.tasks.bases for base in chain),
        *prepared.tasks.trials,
    ):
        carry_out(task, folder)
    return prepared


def rows(**columns: Any) -> pd.DataFrame:
    """Rows of a study as `gather` gives them; what is not said is the same in all."""
    usual = {
        "column": "trained", "tested_on": "target", "n_images": 4, "n_cases": 2, "n_nuclei": 35,
        "radius_um": 2.0, "precision": 0.5, "recall": 0.5, "distance_median": 1.0,
        "n_train_images": 5, "n_validation_images": 0, "seconds": 60.0,
    }  # fmt: skip
    return pd.DataFrame({**usual, **columns})


def found(asked: Study, frame: pd.DataFrame, curves: pd.DataFrame | None = None) -> Found:
    """As if these rows had come out of the study."""
    return Found(asked, frame, pd.DataFrame() if curves is None else curves, 1, 1)
