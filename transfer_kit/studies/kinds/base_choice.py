"""What the choice of the base is worth: best, worst and random (paper 002, Table 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_kit.evaluation import SeedMean, mean_over_seeds
from transfer_kit.studies import panels
from transfer_kit.studies.comparison import SEED, over_seeds
from transfer_kit.studies.found import Found, parts_of
from transfer_kit.studies.rows import TARGET, chosen
from transfer_kit.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Choice:
    """The bases of one target, told by their F1 as they are, and what fine-tuning made of them.

    Attributes:
        best: Name of the base with the greatest F1 as it is, on the target's test images.
        worst: That with the least.
        tuned: One row a seed: F1 after fine-tuning of the `best`, the `worst`, and `random`, the
            mean of all bases: what a base drawn blindly gives on average.
    """

    best: str
    worst: str
    tuned: pd.DataFrame


def choices(found: Found) -> dict[str, Choice]:
    """Of each target, those on which three bases ran or more."""
    axis = found.study.summary.x
    as_is = chosen(found.frame, {"column": "base", "tested_on": TARGET})
    tuned = chosen(found.frame, {"column": "trained"})
    told = {}
    for target, rows in parts_of(tuned, found.study.summary.panels):
        before = as_is if not target else as_is[as_is[found.study.summary.panels] == target]
        untrained = before.groupby(axis, sort=False)["f1"].mean()
        seeds = rows[SEED] if SEED in rows else pd.Series("0", index=rows.index)
        table = rows.groupby([seeds, axis])["f1"].mean().unstack().dropna(axis=0)
        untrained = untrained[untrained.index.isin(table.columns)]
        if len(untrained) < 3 or table.empty:
            continue
        best, worst = str(untrained.idxmax()), str(untrained.idxmin())
        columns = {"best": table[best], "worst": table[worst], "random": table.mean(axis=1)}
        told[target] = Choice(best, worst, pd.DataFrame(columns))
    return told


def lead(told: dict[str, Choice], over: str) -> SeedMean:
    """F1 of the best base less that of the worst or a random one; targets averaged in a seed."""
    each = pd.concat([one.tuned["best"] - one.tuned[over] for one in told.values()], axis=1)
    return mean_over_seeds(each.mean(axis=1).dropna().tolist())


def draw(found: Found) -> Figure:
    """A panel a target, a row a base, sorted by F1 as it is (cross) and fine-tuned (dot)."""
    summary = found.study.summary
    tuned = chosen(found.frame, {"column": "trained"})
    parts = parts_of(tuned, summary.panels)
    figure, all_axes = panels.panels([title for title, _ in parts], height=1.5 + 0.35 * 6)
    for axes, (title, rows) in zip(all_axes, parts, strict=True):
        means = over_seeds(rows, [summary.x]).set_index(summary.x)
        _draw_one(axes, means, _as_is(found, title), list(found.study.axes[summary.x]))
    panels.keep_legend(all_axes[-1])
    return figure


def _as_is(found: Found, title: str) -> pd.Series[float]:
    summary = found.study.summary
    rows = chosen(found.frame, {"column": "base", "tested_on": TARGET})
    rows = rows if not title else rows[rows[summary.panels] == title]
    means: pd.Series[float] = rows.groupby(summary.x)["f1"].mean()
    return means


def _draw_one(axes: Any, means: pd.DataFrame, as_is: pd.Series[float], order: list[str]) -> None:
    low, high = panels.ends(means)
    places = [order.index(str(name)) for name in means.index]
    axes.hlines(places, low, high, color=panels.colour(0), alpha=0.5, linewidth=3)
    axes.plot(means["mean"], places, "o", color=panels.colour(0), label="fine-tuned")
    known = [name for name in order if name in as_is.index]
    axes.plot(
        [as_is[name] for name in known], [order.index(name) for name in known], "x",
        color=panels.colour(1), label="as it is",
    )  # fmt: skip
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlabel("F1 on test images")
    axes.grid(axis="x", color="0.92")


def sentence(found: Found) -> str:
    """What the best base gains over a random one and over the worst."""
    told = choices(found)
    if not told:
        return ""
    said = [f"{_named(name)}best {one.best}, worst {one.worst}" for name, one in told.items()]
    leads = (
        f"{_signed(lead(told, over))} over {word}"
        for over, word in (("random", "a random base"), ("worst", "the worst"))
    )
    return (
        f"fine-tuned from the base that is best as it is, F1 is {', '.join(leads)} on "
        f"{counted(len(told), 'target')} ({'; '.join(said)})"
    )


def _named(target: str) -> str:
    return f"{target}: " if target else ""


def _signed(mean: SeedMean) -> str:
    if mean.low is None or mean.high is None:
        return f"{mean.mean:+.3f}"
    return (
        f"{mean.mean:+.3f} (95 % interval {mean.low:+.3f} to {mean.high:+.3f} over "
        f"{counted(mean.n_seeds, 'seed')})"
    )
