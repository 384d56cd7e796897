"""F1 along an axis, one line a variant, with its interval over seeds (paper 002, Fig. 5 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_kit.studies import panels
from transfer_kit.studies.comparison import over_seeds
from transfer_kit.studies.found import Found, numbers_of, parts_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: Found) -> Figure:
    """A panel a value of `panels`, a line a value of `by`; one with a single x goes all across."""
    summary = found.study.summary
    order = list(found.study.axes.get(summary.x, ()))
    parts = parts_of(found.drawn, summary.panels)
    figure, all_axes = panels.panels([title for title, _ in parts])
    for axes, (_, rows) in zip(all_axes, parts, strict=True):
        labels = [label for label in order if label in set(rows[summary.x])]
        places = _places(labels, log=summary.log)
        for number, (name, series) in enumerate(parts_of(rows, summary.by)):
            means = over_seeds(series, [summary.x])
            means = means.assign(place=means[summary.x].map(places)).sort_values("place")
            _draw_one(axes, means, name, number, across=len(labels) > 1)
        if summary.log:
            axes.set_xscale("symlog", linthresh=_least_above_zero(places))
        axes.set_xticks(list(places.values()), labels, fontsize=8)
        axes.minorticks_off()
        axes.set_xlabel(summary.label or summary.x)
        axes.grid(axis="y", color="0.92")
    all_axes[0].set_ylabel("F1 on test images")
    panels.keep_legend(all_axes[0], summary.by)
    return figure


def sentence(found: Found) -> str:
    """Nothing beside the comparisons of the study."""
    return ""


def _places(labels: list[str], *, log: bool) -> dict[str, float]:
    """Where each value stands: numbers at their value, others one beside the other."""
    numbers = numbers_of(labels)
    if numbers is None or (log and not any(number > 0 for number in numbers)):
        return {label: float(place) for place, label in enumerate(labels)}
    return dict(zip(labels, numbers, strict=True))


def _least_above_zero(places: dict[str, float]) -> float:
    """Below it a symmetric logarithmic axis is linear, so that 0 has a place on it."""
    return min((place for place in places.values() if place > 0), default=1.0)


def _draw_one(axes: Any, means: pd.DataFrame, name: str, number: int, *, across: bool) -> None:
    low, high = panels.ends(means)
    colour = panels.colour(number)
    if len(means) == 1 and across:
        axes.axhline(means["mean"].iloc[0], color=colour, linestyle="--", label=name or None)
        axes.axhspan(low[0], high[0], color=colour, alpha=0.12, linewidth=0)
        return
    axes.fill_between(means["place"], low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(
        means["place"], means["mean"], color=colour, marker=panels.marker(number),
        label=name or None,
    )  # fmt: skip
