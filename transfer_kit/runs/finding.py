"""Run folders: which there are, and how far each has come."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.process_lock import is_held
from transfer_kit.recipe import Recipe
from transfer_kit.run_folder import ENVIRONMENT, LOCK, METRICS, OPTIONS, RECIPE
from transfer_kit.tracking.unsent import count_unsent

FINISHED, INTERRUPTED, GOING_ON = "finished", "interrupted", "going on"

LEARNED = ("finetuned", "adapted", "scratch")
"""The columns that a run itself trained; the first that it has is what it is about."""


@dataclass(frozen=True)
class FoundRun:
    """A run folder.

    Attributes:
        recipe: What it carries out.
        state: `finished`, `interrupted` or `going on`.
        metrics: Its `metrics.json`; empty while it is not finished.
        options: Its `options.json`.
        n_unsent: Records that its tracking store has not taken yet.
    """

    folder: Path
    recipe: Recipe
    state: str
    metrics: dict[str, Any]
    options: dict[str, Any]
    n_unsent: int

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.folder.name

    @property
    def command(self) -> str:
        """`finetune` or `adapt`."""
        return "finetune" if self.recipe.adaptation.name == "none" else "adapt"

    @property
    def go_on(self) -> str:
        """What to type to go on with it; empty unless it was interrupted."""
        if self.state != INTERRUPTED:
            return ""
        return f"transfer-kit {self.command} --resume {shlex.quote(str(self.folder))}"

    @property
    def column(self) -> str:
        """The column of what it trained; empty where it has no test figures."""
        return next((name for name in LEARNED if self.metrics.get(name)), "")

    @property
    def figures(self) -> dict[str, Any]:
        """Test figures of what it trained; empty where there are none."""
        return dict(self.metrics[self.column]["test"]) if self.column else {}

    @property
    def environment(self) -> dict[str, Any]:
        """Packages, commit, device and so on; empty where an older version made the run."""
        return _read(self.folder / ENVIRONMENT)

    def as_dict(self) -> dict[str, Any]:
        """A row of `runs list --json`."""
        figures = self.figures
        return {
            "name": self.name,
            "folder": str(self.folder),
            "state": self.state,
            "command": self.command,
            "base": self.recipe.base,
            "target": self.recipe.target,
            "began_ms": self.options.get("began_ms"),
            "f1": figures.get("f1"),
            "f1_low": figures.get("f1_low"),
            "f1_high": figures.get("f1_high"),
            "mlflow_run_id": self.options.get("mlflow_run_id", ""),
            "n_unsent": self.n_unsent,
            "go_on": self.go_on,
        }


def list_runs(folder: Path) -> list[FoundRun]:
    """The runs in a folder of runs, the oldest first; folders that are none are left out."""
    found = [read_run(path.parent) for path in folder.glob(f"*/{OPTIONS}") if _is_run(path.parent)]
    return sorted(found, key=lambda run: (run.options.get("began_ms") or 0, run.name))


def find_run(name: str, folder: Path) -> FoundRun:
    """A run by its path, or by its name in a folder of runs.

    Raises:
        UserError: there is none; the nearest that is there is named.
    """
    for place in _places(name, folder):
        if _is_run(place):
            return read_run(place)
    known = [run.name for run in list_runs(folder)]
    raise UserError(f"There is no run {name!r} in {folder}. {nearest_hint(name, known)}")


def is_run(name: str, folder: Path) -> bool:
    """Whether `find_run` finds a run of that path or name."""
    return any(_is_run(place) for place in _places(name, folder))


def read_run(folder: Path) -> FoundRun:
    """The run in a folder.

    Raises:
        UserError: its recipe is damaged.
    """
    metrics = _read(folder / METRICS)
    going_on = is_held(folder / LOCK)
    state = GOING_ON if going_on else FINISHED if metrics else INTERRUPTED
    return FoundRun(
        folder=folder,
        recipe=Recipe.read(folder / RECIPE),
        state=state,
        metrics=metrics,
        options=_read(folder / OPTIONS),
        n_unsent=count_unsent(folder),
    )


def _places(name: str, folder: Path) -> tuple[Path, Path]:
    return Path(name).expanduser(), folder / name


def _is_run(folder: Path) -> bool:
    return (folder / OPTIONS).is_file() and (folder / RECIPE).is_file()


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove the run's folder.") from None
    return dict(document)
