"""How well each score that `rank` knows predicts the order of bases after fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from transfer_kit.errors import UserError
from transfer_kit.studies import panels
from transfer_kit.studies.found import Found
from transfer_kit.studies.rows import chosen
from transfer_kit.transfer.rank_correlation import RankCorrelation, rank_correlation
from transfer_kit.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREFIX = "promise_"


def correlations(found: Found) -> dict[str, RankCorrelation]:
    """Of each score with F1 after fine-tuning, both means over seeds; the best predictor first.

    Scores that are not known of every base, or that order nothing, are left out.
    """
    summary = found.study.summary
    if summary.by is None:
        raise UserError("rank_order needs the axis of the targets as 'by' in its summary.")
    rows = chosen(found.frame, {"column": "trained"})
    told = {}
    for name in (str(column) for column in rows if str(column).startswith(PREFIX)):
        means = rows.groupby([summary.by, summary.x], sort=False)[["f1", name]].mean().dropna()
        tables = [_by_target(means, column) for column in (name, "f1")]
        try:
            told[name.removeprefix(PREFIX)] = rank_correlation(*tables)
        except UserError:
            continue  # too few bases have run, or all are equal
    return dict(sorted(told.items(), key=lambda item: -item[1].kendall))


def _by_target(means: pd.DataFrame, column: str) -> dict[str, dict[str, float]]:
    """Of the targets on which three bases ran."""
    table: dict[str, dict[str, float]] = {}
    for row in means[column].reset_index().itertuples(index=False):
        target, base, value = row
        table.setdefault(str(target), {})[str(base)] = float(value)
    return {target: bases for target, bases in table.items() if len(bases) >= 3}


def draw(found: Found) -> Figure:
    """Kendall's τ of each score with its interval."""
    told = correlations(found)
    figure, (axes,) = panels.panels([""], width=5.6, height=1.5 + 0.35 * max(1, len(told)))
    for place, correlation in enumerate(told.values()):
        low, high = correlation.kendall_low, correlation.kendall_high
        if low is not None and high is not None:
            axes.hlines(place, low, high, color=panels.colour(0), alpha=0.5, linewidth=3)
        axes.plot(correlation.kendall, place, "o", color=panels.colour(0))
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.set_yticks(range(len(told)), list(told))
    axes.set_ylim(len(told) - 0.5, -0.5)
    axes.set_xlim(-1, 1)
    axes.set_xlabel("Kendall's τ with the order after fine-tuning")
    return figure


def sentence(found: Found) -> str:
    """Each score's τ, the best first."""
    told = correlations(found)
    if not told:
        return ""
    any_one = next(iter(told.values()))
    listed = ", ".join(f"{name} {_in_words(each)}" for name, each in told.items())
    return (
        f"Kendall's τ with the order after fine-tuning, over {counted(any_one.n_targets, 'target')}"
        f" and {counted(any_one.n_pairs, 'base')} in all: {listed}"
    )


def _in_words(correlation: RankCorrelation) -> str:
    low, high = correlation.kendall_low, correlation.kendall_high
    if low is None or high is None:
        return f"{correlation.kendall:+.2f}"
    return f"{correlation.kendall:+.2f} (95 % {low:+.2f} to {high:+.2f})"
