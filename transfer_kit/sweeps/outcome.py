"""What a sweep leaves: the best recipe, the table of trials, and what mattered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from transfer_kit.files import replacing
from transfer_kit.sweeps.figures import draw, importances_of
from transfer_kit.sweeps.opened import NOTES, Opened
from transfer_kit.sweeps.slots import Slot
from transfer_kit.sweeps.standing import Standing, figure_of, values_of

SUMMARY, TRIALS, BEST = "summary.json", "trials.csv", "best.yaml"


@dataclass(frozen=True)
class Outcome:
    """Where the outcome lies, and what it says; the object that `--json` prints."""

    told: dict[str, Any]

    @property
    def files(self) -> dict[str, str]:
        """What was written, by what it is."""
        return dict(self.told["files"])


def read_outcome(opened: Opened, standing: Standing) -> Outcome | None:
    """What was written before, where nothing has changed since."""
    path = opened.place.folder / SUMMARY
    if not path.is_file():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    is_current = told["standing"] == _standing(standing) and told["test"] == standing.winner
    there = all(Path(file).is_file() for file in told["files"].values())
    return Outcome(told) if is_current and there else None


def write_outcome(opened: Opened, standing: Standing) -> Outcome:
    """Write best recipe, table, figures and summary into the sweep's folder.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = opened.place.folder
    files = {"trials": _write_table(standing, folder / TRIALS)}
    for slot in standing.front:
        is_best = standing.best is not None and slot.number == standing.best.number
        name = "best" if is_best else f"front {slot.number}"
        path = folder / (BEST if is_best else f"front-{slot.number:04d}.yaml")
        files[name] = write_recipe(opened, standing, slot, path)
    importances = importances_of(opened, standing)
    files |= draw(opened, standing, importances, folder)
    told = {
        "sweep": opened.place.name,
        "standing": _standing(standing),
        "objectives": list(standing.sweep.objectives),
        "base": standing.base,
        "own": _own(opened, standing),
        "best": standing.row(standing.best) if standing.best else None,
        "front": [standing.row(slot) for slot in standing.front],
        "importances": importances,
        "test": standing.winner,
        "failed": standing.failed,
        "notes": list(opened.attributes.get(NOTES, ())),
        "files": {name: str(path) for name, path in files.items()},
    }
    told = json.loads(json.dumps(told))  # numbers of trials are texts, as in the file
    with replacing(folder / SUMMARY) as temporary:
        temporary.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return Outcome(told)


def write_recipe(opened: Opened, standing: Standing, slot: Slot, path: Path) -> Path:
    """A trial's recipe as `finetune --recipe` takes it: what is as by default is left out."""
    recipe = standing.recipe_of(slot).model_dump(mode="json", exclude_unset=True)
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)
    figures = ", ".join(
        f"{name} {value:.4g}"
        for name, value in zip(standing.sweep.objectives, values_of(slot), strict=True)
    )
    head = (
        f"# transfer-kit finetune --recipe {path}\n#\n# Trial {slot.number} of the sweep "
        f"{opened.place.name}: {figures}.\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(head + text, encoding="utf-8")
    return path


def _write_table(standing: Standing, path: Path) -> Path:
    """Every trial; the base as it is first, which has no values of the searched fields."""
    rows = [standing.row(slot) for slot in standing.slots]
    if standing.base is not None:
        rows.insert(0, {"trial": "base", "state": "measured", **_figure(standing.base)})
    with replacing(path) as temporary:
        pd.DataFrame(rows).convert_dtypes().to_csv(temporary, index=False)
    return path


def _figure(base: dict[str, Any]) -> dict[str, Any]:
    return {"validation": base["validation"]}


def _standing(standing: Standing) -> dict[str, int]:
    counts = {
        "asked": standing.n_asked,
        "finished": len(standing.finished),
        "complete": len(standing.complete),
        "failed": len(standing.failed),
    }
    return counts | {"attempts": sum(len(slot.attempts) for slot in standing.slots)}


def _own(opened: Opened, standing: Standing) -> float | None:
    """What the recipe's own values give, where they are a trial: the first."""
    if not opened.own_values_are_first or not standing.slots:
        return None
    return figure_of(standing.slots[0])
