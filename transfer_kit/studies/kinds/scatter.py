"""F1 on the target against F1 on the base's own cases: what is gained, and what is forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from transfer_kit.evaluation import SeedMean, mean_over_seeds
from transfer_kit.evaluation.plots import LINE_COLOURS
from transfer_kit.studies import panels
from transfer_kit.studies.comparison import SEED
from transfer_kit.studies.found import Found, parts_of
from transfer_kit.studies.rows import HELD_OUT, TARGET, chosen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENOUGH = 0.95
"""Of the base's F1 on its own cases: what counts as not forgotten."""


@dataclass(frozen=True)
class Kept:
    """What one way of fine-tuning kept of the base and gained on the target, over seeds.

    Attributes:
        share: F1 after as a share of F1 before, on the base's own cases.
        gain: F1 on the target less the base's, recalibrated where that was measured.
    """

    share: SeedMean
    gain: SeedMean

    @property
    def is_enough(self) -> bool:
        """Whether the base's F1 is kept, on average, while the target gains."""
        return self.share.mean >= ENOUGH and self.gain.mean > 0


def paired(found: Found) -> pd.DataFrame:
    """One row a trial: its axes, and F1 before and after of the base's own cases and the target.

    The columns are `own_before`, `own_after`, `target_before` and `target_after`: an axis is often
    called `target`.
    """
    axes = list(found.axes)
    frame = found.frame
    columns = set(frame["column"])
    base = "recalibrated" if "recalibrated" in columns else "base"
    wanted = {
        "own_before": {"column": "base", "tested_on": HELD_OUT},
        "own_after": {"column": "trained", "tested_on": HELD_OUT},
        "target_before": {"column": base, "tested_on": TARGET},
        "target_after": {"column": "trained", "tested_on": TARGET},
    }
    series = {
        name: chosen(frame, place).set_index(axes)["f1"].rename(name)
        for name, place in wanted.items()
    }
    return pd.concat(series.values(), axis=1, join="inner").reset_index()


def kept_by(rows: pd.DataFrame, axis: str) -> dict[str, Kept]:
    """What each value of an axis keeps and gains; targets are averaged within a seed."""
    told = {}
    for name, some in rows.groupby(axis, sort=False):
        share = some["own_after"] / some["own_before"]
        gain = some["target_after"] - some["target_before"]
        by_seed = pd.DataFrame({"share": share, "gain": gain})
        if SEED in some:
            by_seed = by_seed.groupby(some[SEED]).mean()
        told[str(name)] = Kept(
            mean_over_seeds(by_seed["share"].tolist()), mean_over_seeds(by_seed["gain"].tolist())
        )
    return told


def draw(found: Found) -> Figure:
    """A panel a value of `panels`, a mark a trial, its colour the value of `x`."""
    summary = found.study.summary
    parts = parts_of(paired(found), summary.panels)
    figure, all_axes = panels.panels([title for title, _ in parts])
    for axes, (_, rows) in zip(all_axes, parts, strict=True):
        before = rows["own_before"].mean()
        axes.axvline(before, color="0.5", linewidth=0.8)
        axes.axvline(ENOUGH * before, color="0.5", linewidth=0.8, linestyle=":")
        axes.axhline(rows["target_before"].mean(), color="0.5", linewidth=0.8)
        for number, name in enumerate(found.study.axes[summary.x]):
            some = rows[rows[summary.x] == name]
            axes.scatter(
                some["own_after"], some["target_after"], label=name, s=28, alpha=0.9,
                color=panels.colour(number), marker=panels.marker(number // len(LINE_COLOURS)),
            )  # fmt: skip
        axes.set_xlabel("F1 on the base's own cases (dotted: 95 % of before)")
    all_axes[0].set_ylabel("F1 on the target (line: the base)")
    panels.keep_legend(all_axes[-1], summary.x)
    return figure


def sentence(found: Found) -> str:
    """Which ways keep the base's F1 while the target gains, and how much the first keeps."""
    rows = paired(found)
    if rows.empty:
        return ""
    ways = kept_by(rows, found.study.summary.x)
    good = {name: kept for name, kept in ways.items() if kept.is_enough}
    said = (
        f"{len(good)} of {len(ways)} ways keep at least {ENOUGH:.0%} of the base's F1 on its own "
        "cases while the target gains"
    )
    if not good:
        return said
    told = sorted(good.items(), key=lambda item: -item[1].gain.mean)
    listed = (
        f"{name} (keeps {kept.share.mean:.1%}{_interval(kept.share, 100)}, gains "
        f"{kept.gain.mean:+.3f}{_interval(kept.gain)})"
        for name, kept in told
    )
    return f"{said}: {', '.join(listed)}"


def _interval(mean: SeedMean, factor: float = 1.0) -> str:
    if mean.low is None or mean.high is None:
        return ""
    digits = 1 if factor != 1 else 3
    low, high = mean.low * factor, mean.high * factor
    return f", 95 % interval {low:.{digits}f} to {high:.{digits}f}"
