"""F1 of each variant with its interval over seeds, one beside the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_kit.studies import panels
from transfer_kit.studies.comparison import over_seeds
from transfer_kit.studies.found import Found, parts_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: Found) -> Figure:
    """A panel a value of `panels`, a row a value of `x`, a colour a value of `by`."""
    summary = found.study.summary
    rows = found.drawn
    order = [
        label for label in found.study.axes.get(summary.x, ()) if label in set(rows[summary.x])
    ]
    order = order or [str(value) for value in rows[summary.x].unique()]
    parts = parts_of(rows, summary.panels)
    height = 1.4 + 0.36 * len(order)
    figure, all_axes = panels.panels([title for title, _ in parts], height=height)
    for axes, (_, inside) in zip(all_axes, parts, strict=True):
        series = parts_of(inside, summary.by)
        for number, (name, some) in enumerate(series):
            means = over_seeds(some, [summary.x])
            shift = 0.16 * (number - (len(series) - 1) / 2)
            places = [order.index(str(label)) + shift for label in means[summary.x]]
            low, high = panels.ends(means)
            colour = panels.colour(number)
            axes.hlines(places, low, high, color=colour, alpha=0.5, linewidth=3)
            axes.plot(
                means["mean"], places, panels.marker(number), color=colour, label=name or None
            )
        axes.set_yticks(range(len(order)), order, fontsize=9)
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.grid(axis="x", color="0.92")
        axes.set_xlabel(summary.label or "F1 on test images")
    all_axes[0].set_ylabel(summary.x)
    panels.keep_legend(all_axes[0], summary.by)
    return figure


def sentence(found: Found) -> str:
    """Nothing beside the comparisons of the study."""
    return ""
