"""A sweep as entries of the page: its best trials, the winner with its test figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_kit.compare_page.entry import Entry, Gathered, Point, Section
from transfer_kit.compare_page.gather import of_run
from transfer_kit.errors import UserError
from transfer_kit.runs.comparison import recipes_apart
from transfer_kit.runs.finding import FINISHED, read_run
from transfer_kit.sweeps.opened import Opened
from transfer_kit.sweeps.outcome import Outcome, read_outcome, write_outcome
from transfer_kit.sweeps.slots import RESULT, Slot
from transfer_kit.sweeps.standing import Standing, figure_of, standing_of, state_of
from transfer_kit.sweeps.winner import run_of_winner
from transfer_kit.wording import counted

_PICTURES = {
    "history": "Validation figure of each trial, and the best so far",
    "parallel": "Values of all trials, the darker the better",
    "contour": "The two fields that matter most",
    "importances": "How much each field matters",
    "pareto": "The front of the two objectives",
}


def of_sweep(opened: Opened, count: int) -> Gathered:
    """The best trials of a sweep and its recipe's own values, and what it found so far.

    Only the winner has test figures: the test images were looked at for it alone.

    Args:
        opened: The sweep.
        count: Trials to show, the best first; pruned ones come after the others.

    Raises:
        UserError: no trial is complete yet.
    """
    standing = standing_of(opened)
    if standing.best is None:
        raise UserError(
            f"No trial of the sweep {opened.place.name} is complete yet; wait for the first."
        )
    opened.place.folder.mkdir(parents=True, exist_ok=True)  # of another machine's sweep
    outcome = read_outcome(opened, standing) or write_outcome(opened, standing)
    entries = tuple(_entry(opened, standing, slot) for slot in _shown(opened, standing, count))
    section = Section(
        opened.sweep.question or f"The sweep {opened.place.name}",
        _sentence(standing, outcome),
        {
            caption: Path(outcome.files[name])
            for name, caption in _PICTURES.items()
            if name in outcome.files
        },
        f"transfer-kit sweep show {opened.place.name}",
    )
    tables = {"Recipe": recipes_apart([entry.recipe for entry in entries])}
    return Gathered(entries, (section,), tables)


def _shown(opened: Opened, standing: Standing, count: int) -> list[Slot]:
    """The winner, then the best on validation images; the recipe's own values in any case."""
    told = standing.winner
    tested = told["trial"] if told is not None else None

    def order(slot: Slot) -> tuple[bool, bool, float]:
        figure = figure_of(slot)
        is_whole = state_of(slot) == "complete"
        return slot.number == tested, is_whole, -1.0 if figure is None else figure

    best = sorted(standing.finished, key=order, reverse=True)
    own = [slot for slot in best[count:] if slot.number == 0 and opened.own_values_are_first]
    return best[:count] + own


def _entry(opened: Opened, standing: Standing, slot: Slot) -> Entry:
    result: Mapping[str, Any] = slot.current.user_attrs.get(RESULT, {}) if slot.current else {}
    is_own = slot.number == 0 and opened.own_values_are_first
    entry = Entry(
        name=f"{opened.place.name}, trial {slot.number}" + (" (own values)" if is_own else ""),
        recipe=standing.recipe_of(slot),
        curves={"trained": [_finite(point) for point in result.get("curve", ())]},
        facts=_facts(slot, result),
    )
    winner = standing.winner
    return _tested(entry, opened, winner) if winner and winner["trial"] == slot.number else entry


def _tested(entry: Entry, opened: Opened, winner: Mapping[str, Any]) -> Entry:
    """The winner, with all that its run left where that is on this machine."""
    name = f"{entry.name}, the winner"
    folder = run_of_winner(opened, int(winner["trial"]))
    run = read_run(folder) if folder.is_dir() else None
    if run is None or run.state != FINISHED:
        return replace(
            entry, name=name, test=winner["test"], whole=winner.get("segmentation") or {}
        )
    of_its_run = of_run(run)
    facts = {**of_its_run.facts, **entry.facts}
    return replace(of_its_run, name=name, recipe=entry.recipe, curves=entry.curves, facts=facts)


def _finite(point: Mapping[str, float | None]) -> Point:
    """A round without what was infinite, which databases keep as nothing."""
    return {name: value for name, value in point.items() if value is not None}


def _facts(slot: Slot, result: Mapping[str, Any]) -> dict[str, str]:
    figure, seconds = figure_of(slot), result.get("seconds")
    state = "" if state_of(slot) == "complete" else f" ({state_of(slot)})"
    told = {"validation": ("–" if figure is None else f"{figure:.3f}") + state}
    if seconds is not None:
        told["seconds"] = f"{seconds:,.0f}"
    return told


def _sentence(standing: Standing, outcome: Outcome) -> str:
    """What was found so far, with its extent."""
    told = outcome.told
    best = told["best"]
    said = [
        f"{len(standing.finished)} of {counted(standing.n_asked, 'trial')} finished. Best on the "
        f"validation images, which chose it: trial {best['trial']} with {best['validation']:.3f}"
    ]
    if told["base"] is not None:
        said.append(f"the base as it is {told['base']['validation']:.3f}")
    if told["own"] is not None:
        said.append(f"the recipe's own values {told['own']:.3f}")
    return "; ".join(said) + ". " + _on_test_images(told["test"])


def _on_test_images(winner: Mapping[str, Any] | None) -> str:
    if winner is None:
        return "No test image was looked at yet: the winner is tested when all trials are finished."
    test, gain = winner["test"], winner["gain_over_recalibrated"]
    said = f"The test images were looked at once, for trial {winner['trial']}: F1 {test['f1']:.3f}"
    if gain is not None:
        said += f", {gain['difference']:+.3f} over the recalibrated base"
        if gain["low"] is not None:
            said += f" ({gain['low']:+.3f} to {gain['high']:+.3f})"
    return said + "."
