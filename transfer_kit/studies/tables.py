"""What a study found, as a table for people: means over seeds with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from transfer_kit.studies.comparison import over_seeds, settings_of
from transfer_kit.studies.found import Found, parts_of
from transfer_kit.studies.kinds.heat_map import matrix

_FIGURES = {"precision": "precision", "recall": "recall", "distance_median": "distance in µm"}


def table_of(found: Found) -> pd.DataFrame:
    """A row a setting, as text; of a heat map, its rows and columns."""
    if found.study.summary.kind == "heat_map":
        return _heat_map_table(found)
    frame = found.frame
    settings = settings_of(frame, found.axes)
    means = over_seeds(frame, settings)
    told = [name for name in settings if means[name].nunique() > 1] or settings[:1]
    table = means[told].astype(str)
    table["F1 (95 % interval)"] = [_with_interval(row) for row in means.to_dict("records")]
    table["seeds"] = means["n_seeds"]
    others = [_of_setting(frame, row, settings) for row in means.to_dict("records")]
    whole = table.join(pd.DataFrame(others, index=table.index)).dropna(axis=1, how="all").fillna("")
    return _bases_once(whole, found.axes)


def _bases_once(table: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """One row for a base whose figures are the same along some axes, which are dashes there."""
    if "column" not in table:
        return table
    shown = [axis for axis in axes if axis in table]
    figures = [str(name) for name in table if name not in shown]
    kept = []
    for place, row in table.iterrows():
        same = table[(table[figures] == row[figures]).all(axis=1)]
        if row["column"] == "trained" or len(same) == 1:
            kept.append(row)
        elif same.index[0] == place:
            varying = {axis: "–" for axis in shown if same[axis].nunique() > 1}
            kept.append(pd.Series({**row, **varying}))
    return pd.DataFrame(kept, columns=table.columns)


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    head = [str(name) for name in table.columns]
    body = [[str(cell) for cell in row] for row in table.itertuples(index=False)]
    rows = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _with_interval(row: dict[Any, Any]) -> str:
    if pd.isna(row["low"]) or row["low"] == row["high"]:  # the same whatever the seed
        return f"**{row['mean']:.3f}**"
    return f"**{row['mean']:.3f}** ({max(row['low'], 0):.3f} to {min(row['high'], 1):.3f})"


def _of_setting(
    frame: pd.DataFrame, row: dict[Any, Any], settings: Sequence[str]
) -> dict[str, str | None]:
    """The other figures of one row of the table, means over its trials."""
    same = (frame[list(settings)] == [row[name] for name in settings]).all(axis=1)
    rows = frame[same]
    told: dict[str, str | None] = {
        title: _mean(rows, name, "{:.3f}" if name != "distance_median" else "{:.2f}")
        for name, title in _FIGURES.items()
    }
    labelled = _mean(rows, "n_train_images", "{:g}"), _mean(rows, "n_validation_images", "{:g}")
    told["images to learn + judge"] = (
        None if labelled[0] is None else " + ".join(map(str, labelled))
    )
    told["minutes"] = _mean(rows.assign(minutes=_minutes(rows)), "minutes", "{:.1f}")
    told["test images / nuclei"] = " / ".join(
        str(_mean(rows, name, "{:,.0f}")) for name in ("n_images", "n_nuclei")
    )
    return told


def _minutes(rows: pd.DataFrame) -> Any:
    return rows["seconds"] / 60 if "seconds" in rows else None


def _mean(rows: pd.DataFrame, name: str, form: str) -> str | None:
    values = pd.to_numeric(rows[name]).dropna() if name in rows else pd.Series(dtype=float)
    return form.format(float(values.mean())) if len(values) else None


def _heat_map_table(found: Found) -> pd.DataFrame:
    summary = found.study.summary
    by = summary.by or "base"
    tables = []
    for title, rows in parts_of(found.drawn, summary.panels):
        values = matrix(found, rows)
        text = values.map(lambda value: "" if pd.isna(value) else f"{value:.3f}")
        others = [values[name].drop(name, errors="ignore").mean() for name in values.columns]
        text.loc["mean of the others"] = [f"{mean:.3f}" for mean in others]
        text.insert(0, f"{by} ↓, {summary.x} →", text.index)
        if summary.panels:
            text.insert(0, summary.panels, title)
        tables.append(text)
    return pd.concat(tables, ignore_index=True)
