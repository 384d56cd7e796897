"""The page's charts, as SVG whose text stays text."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from transfer_kit.compare_page.entry import Entry
from transfer_kit.evaluation.plots import DASHES, LINE_COLOURS
from transfer_kit.training.judge import CRITERIA, judged_by

MOST = 12
"""Lines in one chart; more cannot be told apart."""


def interval_chart(entries: Sequence[Entry]) -> str:
    """F1 on test images with its 95 % interval, a row each; empty where none has figures."""
    shown = [entry for entry in entries if entry.test.get("f1") is not None]
    if not shown:
        return ""
    figure = Figure(figsize=(5.5, 0.9 + 0.3 * len(shown)))
    axes = figure.add_subplot()
    for row, entry in enumerate(shown):
        low, high = entry.test.get("f1_low"), entry.test.get("f1_high")
        colour = _colour(row) if len(shown) <= MOST else LINE_COLOURS[0]
        if low is not None and high is not None:
            axes.plot([low, high], [row, row], color=colour, linewidth=2.5, solid_capstyle="butt")
        axes.plot(entry.test["f1"], row, "o", color=colour, markersize=7)
    axes.set(yticks=range(len(shown)), xlabel="F1 on test images, 95 % interval")
    axes.set_yticklabels([entry.letter for entry in shown])
    axes.invert_yaxis()
    axes.margins(y=0.5 / len(shown))
    axes.grid(axis="x", color="0.9")
    return _svg(figure)


def curve_chart(entries: Sequence[Entry]) -> str:
    """What each round was judged by, a line a training; empty where none was judged.

    One chart has one criterion: that of the first training; others are left out.
    """
    lines = [
        (f"{entry.letter}, {title}" if len(entry.curves) > 1 else entry.letter, points)
        for entry in entries
        for title, points in entry.curves.items()
    ]
    criteria = [judged_by(dict(points[-1])) for _, points in lines if points]
    criterion = next((name for name in criteria if name), "")
    if not criterion:
        return ""
    figure = Figure(figsize=(5.5, 3.4))
    axes = figure.add_subplot()
    for number, (name, points) in enumerate(lines[:MOST]):
        known = [(p["step"], p[criterion]) for p in points if np.isfinite(p.get(criterion, np.nan))]
        if known:
            dash = DASHES[number % len(DASHES)]
            axes.plot(*zip(*known, strict=True), label=name, color=_colour(number), ls=dash)
    axes.set(xlabel="training step", ylabel=f"{CRITERIA[criterion]} on validation images")
    axes.grid(axis="y", color="0.9")
    axes.legend(frameon=False)
    return _svg(figure)


def _colour(number: int) -> str:
    return LINE_COLOURS[number % len(LINE_COLOURS)]


def _svg(figure: Figure) -> str:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    written = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(written, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]
