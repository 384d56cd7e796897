"""F1 on validation images in the course of the training (paper 002, Fig. 5, first row)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from transfer_kit.studies import panels
from transfer_kit.studies.comparison import over_seeds
from transfer_kit.studies.found import Found, parts_of
from transfer_kit.studies.study import values_of
from transfer_kit.studies.trials import lies_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Reached:
    """When one training reached what another ended with.

    Attributes:
        steps: Of the first; None where it never did.
        of_steps: That the other took.
        f1: That the other ended with, on validation images.
    """

    steps: int | None
    of_steps: int
    f1: float


def reached(curves: pd.DataFrame, axes: tuple[str, ...], of: Mapping[str, object],
            against: Mapping[str, object]) -> list[Reached]:  # fmt: skip
    """For each pair of trainings that differ as told: when the first reached the other's last F1.

    Step 0 is the base itself with its threshold recalibrated on the validation images.

    Args:
        curves: Of `transfer_kit.studies.rows.curves`.
        axes: Of the study.
        of: The place of the trainings that ought to be quicker.
        against: The place of those that they are compared with.
    """
    shared = [axis for axis in axes if axis not in of and axis not in against]
    first, second = (_by_trial(curves, place, shared) for place in (of, against))
    told = []
    for trial in first.keys() & second.keys():
        other = second[trial]
        final, steps = float(other["f1"].iloc[-1]), int(other["step"].iloc[-1])
        there = first[trial][first[trial]["f1"] >= final]
        told.append(Reached(int(there["step"].iloc[0]) if len(there) else None, steps, final))
    return told


def _by_trial(
    curves: pd.DataFrame, place: Mapping[str, object], shared: list[str]
) -> dict[tuple[str, ...], pd.DataFrame]:
    rows = curves[[lies_in(row, dict(place)) for row in curves.to_dict("records")]]
    if not shared:
        return {(): rows.sort_values("step")} if len(rows) else {}
    return {
        tuple(map(str, names)): some.sort_values("step")
        for names, some in rows.groupby(shared, sort=False)
    }


def draw(found: Found) -> Figure:
    """A panel a value of `panels`, a line a value of `by`."""
    summary = found.study.summary
    parts = parts_of(found.curves, summary.panels)
    figure, all_axes = panels.panels([title for title, _ in parts])
    for axes, (_, rows) in zip(all_axes, parts, strict=True):
        for number, (name, series) in enumerate(parts_of(rows, summary.by)):
            means = over_seeds(series, ["step"]).sort_values("step")
            low, high = panels.ends(means)
            colour = panels.colour(number)
            axes.fill_between(means["step"], low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(
                means["step"], means["mean"], color=colour, marker=panels.marker(number),
                markersize=4, label=name or None,
            )  # fmt: skip
        axes.set_xlabel(summary.label or "training step")
        axes.grid(axis="y", color="0.92")
    all_axes[0].set_ylabel("F1 on validation images")
    panels.keep_legend(all_axes[0], summary.by)
    return figure


def sentence(found: Found) -> str:
    """When the first comparison's first side reached what its second ended with."""
    if not found.study.finding or found.curves.empty:
        return ""
    claim = found.study.finding[0]
    told = reached(found.curves, found.axes, claim.of, claim.against)
    if not told:
        return ""
    shares = sorted(r.steps / r.of_steps for r in told if r.steps is not None)
    said = (
        f"the last validation F1 of '{_named(claim.against)}' (mean "
        f"{statistics.mean(r.f1 for r in told):.3f} after {told[0].of_steps} steps) was reached by "
        f"'{_named(claim.of)}' in {len(shares)} of {len(told)} pairs"
    )
    if not shares:
        return said
    third = sum(share <= 1 / 3 for share in shares)
    return (
        f"{said}, after {statistics.median(shares):.0%} of those steps in the median "
        f"({shares[0]:.0%} to {shares[-1]:.0%}; within a third of them in {third})"
    )


def _named(place: Mapping[str, object]) -> str:
    """A place as the sentence calls it: its values."""
    return ", ".join(" or ".join(values_of(wanted)) for wanted in place.values()) or "all"
