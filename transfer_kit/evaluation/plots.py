"""Curves for people: precision against recall, and F1 against training steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from transfer_kit.evaluation.counting import Evaluated
from transfer_kit.evaluation.curves import PrecisionRecallCurve, precision_recall_curve
from transfer_kit.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours (2008), told apart with any colour vision; lines differ in dash as well.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1)), "-.")


def precision_recall_figure(
    named: Mapping[str, Iterable[Evaluated]],
    path: str | PathLike[str],
    *,
    radius_um: float,
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """Precision-recall curves of several detectors on the same images, as PNG.

    Args:
        named: The images of each detector with its unfiltered detections, by the detector's name.
        path: The file to write.
        radius_um: Largest distance of a match in µm.
        thresholds: A threshold by name, marked on that detector's curve.

    Raises:
        UserError: a detector has no image.
    """
    figure, axes = _square()
    for number, (name, pairs) in enumerate(named.items()):
        curve = precision_recall_curve(pairs, radius_um=radius_um)
        _draw_curve(axes, curve, name, number)
        if thresholds and name in thresholds:
            true, false, missed = curve.counts_at(thresholds[name])
            axes.plot(
                true / max(true + missed, 1),
                true / max(true + false, 1),
                marker="o",
                markersize=8,
                color=_colour(number),
                markeredgecolor="white",
                clip_on=False,
            )
    for f1 in (0.5, 0.6, 0.7, 0.8, 0.9):
        recall = np.linspace(f1 / (2 - f1) + 1e-6, 1, 200)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color="0.85", linewidth=0.8, zorder=0)
        axes.text(1.01, f1 / (2 - f1), f"F1 {f1:g}", color="0.5", fontsize=8, va="center")
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="Recall", ylabel="Precision")
    axes.set_title(f"Nuclei matched within {radius_um:g} µm", fontsize=11)
    axes.legend(loc="lower left", frameon=False)
    _save(figure, path)


def learning_curves(
    curves: Mapping[str, Sequence[tuple[int, float]]],
    path: str | PathLike[str],
    *,
    ylabel: str = "F1 on validation",
) -> None:
    """One line a training, its best point marked, as PNG; trainings without points are left out.

    Args:
        curves: `(step, value)` pairs in order, by the training's name.
        path: The file to write.
        ylabel: What the values are.
    """
    figure, axes = _square()
    for number, (name, points) in enumerate(curves.items()):
        finite = np.array([point for point in points if np.isfinite(point[1])], float)
        if not len(finite):
            continue
        steps, values = finite.T
        best = int(values.argmax())
        label = f"{name}  best {values[best]:.3f} at step {int(steps[best])}"
        axes.plot(
            steps,
            values,
            label=label,
            color=_colour(number),
            linestyle=DASHES[number % len(DASHES)],
            linewidth=1.8,
        )
        axes.plot(steps[best], values[best], marker="o", color=_colour(number), clip_on=False)
    axes.set(xlabel="Training step", ylabel=ylabel)
    axes.margins(x=0.02)
    axes.grid(axis="y", color="0.92")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
    _save(figure, path)


def _draw_curve(axes: Axes, curve: PrecisionRecallCurve, name: str, number: int) -> None:
    area = curve.average_precision
    label = f"{name}  AP {area:.3f}" if area is not None else name
    recall, precision = curve.recall, curve.precision
    if len(recall):
        recall, precision = np.append(0.0, recall), np.append(precision[0], precision)
    axes.plot(
        recall,
        precision,
        label=label,
        color=_colour(number),
        linestyle=DASHES[number % len(DASHES)],
        linewidth=1.8,
    )


def _colour(number: int) -> str:
    return LINE_COLOURS[number % len(LINE_COLOURS)]


def _square() -> tuple[Figure, Axes]:
    # Imported here: half a second that scoring need not wait for. A Figure of its own, not
    # pyplot's, draws without a display and leaves no state behind.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: str | PathLike[str]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with replacing(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))
