"""Figures of studies: panels side by side, marks with intervals, one look for all."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer_kit.evaluation.plots import LINE_COLOURS
from transfer_kit.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


def panels(
    titles: Sequence[str], *, width: float = 4.6, height: float = 3.8
) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, one a title, in a row, with one scale of the vertical axis."""
    from matplotlib.figure import Figure

    count = len(titles)
    figure = Figure(figsize=(width * count + 0.6, height), dpi=150, layout="constrained")
    found = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    for axes, title in zip(found, titles, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, fontsize=10)
    return figure, list(found)


def colour(number: int) -> str:
    """Of the n-th series."""
    return LINE_COLOURS[number % len(LINE_COLOURS)]


def marker(number: int) -> str:
    """Of the n-th series, so that they differ without colour as well."""
    return MARKERS[number % len(MARKERS)]


def ends(means: Any) -> tuple[Any, Any]:
    """Lower and upper ends of intervals of F1; the mean itself where there is none."""
    low, high = (
        np.where(means[end].isna(), means["mean"], means[end]).astype(float)
        for end in ("low", "high")
    )
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def keep_legend(axes: Axes, title: str | None = None) -> None:
    """A legend beside the panels, where it hides nothing, if there are things to tell apart."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        axes.figure.legend(
            handles, labels, title=title, fontsize=8, title_fontsize=9, frameon=False,
            loc="outside right upper",
        )  # fmt: skip


def save(figure: Figure, path: str | PathLike[str]) -> None:
    """As PNG, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with replacing(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))
