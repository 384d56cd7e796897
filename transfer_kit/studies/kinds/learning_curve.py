"""F1 against labelled images with a fitted curve (paper 002, Fig. 5, second row)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from transfer_kit.studies import panels
from transfer_kit.studies.comparison import SEED, over_seeds
from transfer_kit.studies.found import Found, parts_of
from transfer_kit.studies.power_law import FEWEST_SIZES, LearningCurve, fit_learning_curve
from transfer_kit.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def with_images(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with `images`: all that were labelled, those that only judge, too."""
    return rows.assign(images=rows["n_train_images"] + rows["n_validation_images"])


def fitted(rows: pd.DataFrame) -> LearningCurve | None:
    """The curve of some rows; None where fewer than three numbers of images have run."""
    if rows["images"].nunique() < FEWEST_SIZES:
        return None
    seeds = rows[SEED] if SEED in rows else pd.Series("0", index=rows.index)
    by_seed = {
        int(seed): list(zip(some["images"], some["f1"], strict=True))
        for seed, some in rows.groupby(seeds)
    }
    return fit_learning_curve(by_seed)


def draw(found: Found) -> Figure:
    """A panel a value of `panels`; of each value of `by` the means and the fitted curve."""
    summary = found.study.summary
    parts = parts_of(with_images(found.drawn), summary.panels)
    figure, all_axes = panels.panels([title for title, _ in parts])
    for axes, (_, rows) in zip(all_axes, parts, strict=True):
        for number, (name, series) in enumerate(parts_of(rows, summary.by)):
            colour, mark = panels.colour(number), panels.marker(number)
            means = over_seeds(series, ["images"]).sort_values("images")
            low, high = panels.ends(means)
            axes.vlines(means["images"], low, high, color=colour, alpha=0.5, linewidth=2)
            axes.plot(means["images"], means["mean"], mark, color=colour, label=name or None)
            curve = fitted(series)
            if curve is not None:
                n = np.geomspace(means["images"].min(), 1.5 * curve.most_images, 100)
                axes.plot(n, curve.law(n), color=colour, linewidth=1.4)
                if (band := curve.interval(n)) is not None:
                    axes.fill_between(n, *band, color=colour, alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        sizes = sorted({int(n) for n in rows["images"]})
        axes.set_xticks(sizes, [str(n) for n in sizes], fontsize=8)
        axes.minorticks_off()
        axes.set_xlabel(summary.label or "labelled images")
        axes.grid(axis="y", color="0.92")
    all_axes[0].set_ylabel("F1 on test images")
    panels.keep_legend(all_axes[0], summary.by)
    return figure


def sentence(found: Found) -> str:
    """What the next point of F1 costs, of each curve."""
    summary = found.study.summary
    said = []
    for title, rows in parts_of(with_images(found.drawn), summary.panels):
        for name, series in parts_of(rows, summary.by):
            curve = fitted(series)
            if curve is not None:
                words = ", ".join(word for word in (title, name) if word)
                said.append(f"{words}: {cost_in_words(curve)}")
    return "; ".join(said)


def cost_in_words(curve: LearningCurve) -> str:
    """Such as `beyond 25 images the next point of F1 costs 12 more (95 % interval 8 to 31)`."""
    cost, ends = curve.next_point()
    begin = f"beyond {counted(round(curve.most_images), 'labelled image')} the next point of F1"
    if math.isinf(cost):
        said = f"{begin} is out of reach by the fitted curve, which ends at {curve.law.a:.3f}"
    else:
        said = f"{begin} costs {_images(cost)} more"
    if ends is None:
        return said
    low, high = ends
    over = f"over {counted(curve.n_seeds, 'seed')}"
    if math.isinf(low):
        return f"{said} (in 95 % of resamples {over}, too)"
    upper = "out of reach" if math.isinf(high) else _images(high)
    return f"{said} (95 % interval {_images(low)} to {upper} {over})"


def _images(number: float) -> str:
    return f"{math.ceil(number):,}" if number < 10_000 else "over 10,000"
