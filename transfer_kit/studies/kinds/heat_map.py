"""F1 of every row on every column, as a heat map (paper 002, Fig. 4 and 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from transfer_kit.evaluation import SeedMean, mean_over_seeds
from transfer_kit.studies import panels
from transfer_kit.studies.comparison import over_seeds
from transfer_kit.studies.found import Found, parts_of
from transfer_kit.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def matrix(found: Found, rows: pd.DataFrame) -> pd.DataFrame:
    """Mean F1 over seeds: a row a value of `by`, a column a value of `x`; NaN where none ran."""
    by, x = _by(found), found.study.summary.x
    means = over_seeds(rows, [by, x])
    table = means.pivot_table(index=by, columns=x, values="mean", sort=False)
    axes = found.study.axes
    return table.reindex(
        index=[label for label in axes[by] if label in table.index],
        columns=[label for label in axes[x] if label in table.columns],
    )


def draw(found: Found) -> Figure:
    """A panel a value of `panels`; where row and column are of one name, a star."""
    summary = found.study.summary
    parts = parts_of(found.drawn, summary.panels)
    tables = [(title, matrix(found, rows)) for title, rows in parts]
    size = 1.6 + 0.62 * max(max(table.shape) for _, table in tables)
    figure, all_axes = panels.panels([title for title, _ in tables], width=size, height=size)
    low = min(float(np.nanmin(table.to_numpy())) for _, table in tables)
    high = max(float(np.nanmax(table.to_numpy())) for _, table in tables)
    for axes, (_, table) in zip(all_axes, tables, strict=True):
        values = table.to_numpy(float)
        image = axes.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect="auto")
        axes.set_xticks(range(len(table.columns)), table.columns, rotation=40, ha="right")
        axes.set_yticks(range(len(table.index)), table.index)
        for row, label in enumerate(table.index):
            for column, other in enumerate(table.columns):
                value = values[row, column]
                if np.isfinite(value):
                    said = f"{value:.2f}".lstrip("0") + ("*" if label == other else "")
                    dark = value < (low + high) / 2
                    ink = "white" if dark else "black"
                    axes.text(column, row, said, ha="center", va="center", color=ink, fontsize=9)
        axes.set_xlabel(summary.label or summary.x)
    all_axes[0].set_ylabel(_by(found))
    figure.colorbar(image, ax=all_axes, label="F1 on test images", shrink=0.8)
    return figure


def own_lead(table: pd.DataFrame) -> tuple[SeedMean, int] | None:
    """How far the row of a column's own name is ahead of the mean of the others.

    Gives the mean over the columns with Student's interval over them, and in how many it is ahead
    of that mean; None where fewer than one column has both.
    """
    leads = []
    for name in table.columns:
        column = table[name].dropna()
        others = column.drop(name, errors="ignore")
        if name in column and len(others):
            leads.append(float(column[name] - others.mean()))
    if not leads:
        return None
    return mean_over_seeds(leads), sum(lead > 0 for lead in leads)


def sentence(found: Found) -> str:
    """Whether a column's own row is ahead of the others, on average."""
    said = []
    for title, rows in parts_of(found.drawn, found.study.summary.panels):
        lead = own_lead(matrix(found, rows))
        if lead is None:
            continue
        mean, ahead = lead
        interval = (
            "" if mean.low is None or mean.high is None
            else f" (95 % interval {mean.low:+.3f} to {mean.high:+.3f} over the {mean.n_seeds})"
        )  # fmt: skip
        prefix = f"{title}: " if title else ""
        said.append(
            f"{prefix}a base of the same {found.study.summary.x} is {mean.mean:+.3f} F1 against "
            f"the mean of the others{interval}, ahead of it on {ahead} of "
            f"{counted(mean.n_seeds, found.study.summary.x)}"
        )
    return "; ".join(said)


def _by(found: Found) -> str:
    by = found.study.summary.by
    return by if by is not None else "base"
