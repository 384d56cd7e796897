"""Lines of the tables as CSV, written and read again."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from summary import DETECTION, DISTANCES, SEGMENTATION, Line

from studies import Study, studies
from transfer_kit.files import replacing

COUNTS = ("n_images", "n_cases", "n_nuclei")
FIGURES = (
    *DETECTION,
    *SEGMENTATION,
    *(f"{name}_{end}" for name in (*DETECTION, *SEGMENTATION) for end in ("low", "high")),
    *DISTANCES,
    *COUNTS,
    "p",
)
RECORDED, CARRIED = "records", "earlier"


def write_lines(path: Path, lines: Iterable[tuple[Study, Line]]) -> None:
    """One row a line; what `read_lines` reads."""
    rows = [_row(study, line) for study, line in lines]
    with replacing(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.5g")


def read_lines(path: Path) -> dict[str, list[Line]]:
    """The lines of each study, by its name, whose records were lost.

    Those made from records are made from them anew, or not at all where they were taken out; those
    of rows that no study has any more are left out.
    """
    found: dict[str, list[Line]] = {name: [] for name in studies()}
    if not path.is_file():
        return found
    with path.open(encoding="utf-8", newline="") as file:
        for fields in csv.DictReader(file):
            study = studies().get(fields["study"])
            if study is None or fields["row"] not in study.rows:
                print(f"{path}: {fields['study']}/{fields['row']} is in no study and is left out.")
                continue
            if fields.get("source") == RECORDED:
                continue
            found[study.name].append(_line(study, fields))
    return found


def _row(study: Study, line: Line) -> dict[str, Any]:
    return {
        "study": study.name, "row": line.row.name, "label": line.row.label, "group": line.group,
        "parts": line.done, "parts_wanted": line.wanted, "interval_over": line.spread,
        "source": CARRIED if line.carried else RECORDED,
        **{name: line.figures.get(name) for name in FIGURES},
        "parameters": line.parameters, "cpu_minutes": line.minutes,
        **{f"paper_{name}": line.row.paper.get(name) for name in _published()},
    }  # fmt: skip


def _published() -> list[str]:
    """What papers give of any row: columns that stay whichever rows the table has."""
    rows = [row for study in studies().values() for row in study.rows.values()]
    return list(dict.fromkeys(name for row in rows for name in row.paper))


def _line(study: Study, fields: Mapping[str, str]) -> Line:
    figures: dict[str, Any] = {
        name: float(fields[name]) if fields.get(name) else None for name in FIGURES
    }
    figures |= {name: int(fields[name]) for name in COUNTS}
    return Line(
        study.rows[fields["row"]], fields["group"], figures,
        int(fields["parts"]), int(fields["parts_wanted"]), fields["interval_over"],
        float(fields["cpu_minutes"]), int(fields["parameters"]),
    )  # fmt: skip
