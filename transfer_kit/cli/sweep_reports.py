"""What is told of sweeps: lists, tables, the best recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from transfer_kit.errors import UserError
from transfer_kit.studies.study import label_of
from transfer_kit.sweeps.place import Place, place_of
from transfer_kit.wording import counted

if TYPE_CHECKING:
    from transfer_kit.sweeps.opened import Opened
    from transfer_kit.sweeps.outcome import Outcome
    from transfer_kit.sweeps.slots import Slot
    from transfer_kit.sweeps.standing import Standing


def list_shipped(*, as_json: bool) -> None:
    """The sweeps that ship, with their questions."""
    from transfer_kit.sweeps.finding import find_sweep, list_sweeps
    from transfer_kit.sweeps.sweep import Sweep

    rows: list[dict[str, Any]] = []
    for name in list_sweeps():
        found = Sweep.read(find_sweep(name))
        rows.append({"name": name, "question": found.question, "searched": [*found.search]})
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['name']:12} {row['question']}  ({', '.join(row['searched'])})")


def list_begun(sweeps: Path, storage: str | None, *, as_json: bool) -> None:
    """The sweeps that were begun: those of folders here, and those of a database."""
    rows = [*_in_folders(sweeps), *_in_database(sweeps, storage)]
    if as_json:
        print(json.dumps(rows))
        return
    if not rows:
        print(f"No sweep was begun in {sweeps} yet.")
    for row in rows:
        done = row.get("said") or f"{row['finished']}/{row['asked']} trials, {_best_of(row)}"
        print(f"{row['name']:16} {done}")


def show(place: Place, *, as_json: bool) -> None:
    """The trials of a sweep as they are now."""
    from transfer_kit.sweeps.opened import open_sweep
    from transfer_kit.sweeps.standing import standing_of

    opened = open_sweep(place)
    if as_json:
        print_standing(opened)
        return
    standing = standing_of(opened)
    table = Table(box=None, pad_edge=False)
    rows = [standing.row(slot) for slot in standing.slots]
    names = ["trial", "state", *standing.sweep.objectives, *standing.sweep.search]
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*("" if row[name] is None else _short(row[name]) for name in names))
    console = Console()
    console.print(table)
    done = f"{len(standing.finished)} of {counted(standing.n_asked, 'trial')} finished"
    base = "" if standing.base is None else f"; the base {standing.base['validation']:.3f}"
    console.print(f"{done}{base}", highlight=False)
    for number, why in standing.failed.items():
        console.print(f"Trial {number} failed: {why}", highlight=False, markup=False)


def show_best(place: Place, *, as_json: bool) -> None:
    """The best trial so far, and its recipe as a file; the test images are not looked at."""
    from transfer_kit.sweeps.opened import open_sweep
    from transfer_kit.sweeps.outcome import BEST, write_recipe
    from transfer_kit.sweeps.standing import standing_of

    opened = open_sweep(place)
    standing = standing_of(opened)
    best = standing.best
    if best is None:
        raise UserError(f"No trial of the sweep {place.name} is complete yet; wait for the first.")
    path = write_recipe(opened, standing, best, place.folder / BEST)
    if as_json:
        print(json.dumps({"best": standing.row(best), "recipe": str(path)}))
        return
    print(f"{tell_trial(standing, best)}\nRecipe: {path}")


def print_standing(opened: Opened) -> None:
    """One object: how far a sweep is, and its trials."""
    from transfer_kit.sweeps.standing import standing_of

    standing = standing_of(opened)
    told = _summary(opened.place.name, standing)
    told |= {"base": standing.base, "test": standing.winner, "failed": standing.failed}
    told["trials"] = [standing.row(slot) for slot in standing.slots]
    print(json.dumps(told))


def tell_trial(standing: Standing, slot: Slot) -> str:
    """A trial on a line: its figure and its values."""
    row = standing.row(slot)
    values = ", ".join(f"{name} {_short(row[name])}" for name in _searched(standing, row))
    figure = "" if row["validation"] is None else f" {row['validation']:.3f}"
    said = f"trial {slot.number}: {row['state']}{figure}"
    best = standing.best
    if best is not None and best.number != slot.number:
        said += f" (best {standing.row(best)['validation']:.3f}, trial {best.number})"
    return f"{said} with {values}" if values else said


def tell_outcome(outcome: Outcome, standing: Standing, *, as_json: bool) -> None:
    """The summary: best, base, test figures, what mattered, and the files."""
    told = outcome.told
    if as_json:
        print(json.dumps(told))
        return
    if standing.best is None:
        print("No trial is complete, so there is no best recipe.")
    else:
        print(f"Best on validation images: {tell_trial(standing, standing.best)}")
    for name, figure in (("base as it is", told["base"]), ("recipe's own values", told["own"])):
        value = figure["validation"] if isinstance(figure, dict) else figure
        if value is not None:
            print(f"  the {name}: {value:.3f}")
    if told["test"] is not None:
        test = told["test"]["test"]
        interval = f"{test['f1_low']:.3f} to {test['f1_high']:.3f}"
        print(f"On the test images, once: F1 {test['f1']:.3f} ({interval})")
    if told["importances"]:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in told["importances"].items())
        print(f"What mattered: {shares}")
    if len(told["front"]) > 1:
        print(f"Pareto front: {counted(len(told['front']), 'trial')}")
    for number, why in told["failed"].items():
        print(f"Trial {number} failed: {why}")
    for name, path in told["files"].items():
        print(f"{name}: {path}")


def _in_folders(sweeps: Path) -> list[dict[str, Any]]:
    from transfer_kit.sweeps.opened import open_sweep
    from transfer_kit.sweeps.standing import standing_of

    rows: list[dict[str, Any]] = []
    for folder in sorted(sweeps.glob("*/sweep.yaml")):
        place = Place(folder.parent.name, folder.parent)
        if not place.journal.is_file():
            said = "in a database: say --storage"
            rows.append({"name": place.name, "said": said})
            continue
        try:
            rows.append(_summary(place.name, standing_of(open_sweep(place))))
        except UserError as error:
            rows.append({"name": place.name, "said": str(error)})
    return rows


def _in_database(sweeps: Path, storage: str | None) -> list[dict[str, Any]]:
    place = place_of("all", sweeps, storage)
    if not place.url:
        return []
    from transfer_kit.sweeps.opened import ASKED, open_sweep
    from transfer_kit.sweeps.standing import standing_of
    from transfer_kit.sweeps.storage import names_in, open_storage

    rows = []
    for name in names_in(place, open_storage(place)):
        opened = open_sweep(place_of(name, sweeps, place.url))
        if ASKED in opened.attributes:
            rows.append(_summary(name, standing_of(opened)))
    return rows


def _summary(name: str, standing: Standing) -> dict[str, Any]:
    best = standing.best
    return {
        "name": name,
        "asked": standing.n_asked,
        "finished": len(standing.finished),
        "best": None if best is None else standing.row(best),
    }


def _best_of(row: dict[str, Any]) -> str:
    best = row["best"]
    return "none complete" if best is None else f"best {best['validation']:.3f}"


def _searched(standing: Standing, row: dict[str, Any]) -> list[str]:
    return [name for name in standing.sweep.search if row[name] is not None]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else label_of(value)
