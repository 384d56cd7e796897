"""The folder of a run: recipe, detector, metrics, curves, figures and overlays."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.freeze_forms import write_freeze
from transfer_kit.image_figures import write_image_figures
from transfer_kit.pair import Pair
from transfer_kit.process_lock import ProcessLock
from transfer_kit.recipe import Recipe
from transfer_kit.report import column_titles, write_figures, write_overlays
from transfer_kit.tracking.store import new_run_key
from transfer_kit.training.judge import CRITERIA

if TYPE_CHECKING:
    from transfer_kit.plan import Plan
    from transfer_kit.run import RunResult

OPTIONS = "options.json"
METRICS = "metrics.json"
RECIPE = "recipe.yaml"
CHECKPOINTS = "checkpoints"
ENVIRONMENT = "environment.json"
LOCK = ".going_on.lock"
PAIR = "pair.yaml"
DETECTOR = "detector.safetensors"


def new_folder(runs: Path, plan: Plan) -> Path:
    """A place for a new run, named after what it does and when it began; nothing is made yet."""
    recipe = plan.recipe
    adaptation = recipe.adaptation.name
    how = f"freeze{write_freeze(recipe.freeze)}" if adaptation == "none" else adaptation
    words = f"{_short(recipe.base)}-to-{plan.target_name}-{how}-seed{recipe.seed}"
    plain = re.sub(r"[^\w.-]+", "-", words)
    name = f"{plain}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = runs / name, 1
    while folder.exists():
        number += 1
        folder = runs / f"{name}_{number}"
    return folder


def _short(base: str) -> str:
    """A base's name without its path; all weights files of runs are called alike."""
    path = Path(base)
    return path.parent.name if path.name == DETECTOR and path.parent.name else path.stem


def begin(
    folder: Path, recipe: Recipe, *, pair: Pair | None, compare_scratch: bool
) -> dict[str, Any]:
    """Write down what a resumed run must know, unless it is one; returns what is known.

    The pair is remembered, named or not, so that `pairs show` and `pairs add` take its file.
    """
    recipe.write(folder / RECIPE)
    if pair is not None and not (folder / PAIR).is_file():
        pair.write(folder / PAIR)
    if not (folder / OPTIONS).is_file():
        began = {"run_key": new_run_key(), "began_ms": time.time_ns() // 1_000_000}
        _write_json(folder / OPTIONS, {"compare_scratch": compare_scratch, **began})
    return read_options(folder)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from going on with the same run while this one does.

    Raises:
        UserError: another process is at it.
    """
    lock = ProcessLock(folder / LOCK)
    if not lock.acquire():
        raise UserError(
            f"The run {folder} is going on in another process; wait until that has ended, or start "
            "a new run."
        )
    try:
        yield
    finally:
        lock.release()


def remember(folder: Path, **options: Any) -> None:
    """Add to what a resumed run will know."""
    _write_json(folder / OPTIONS, read_options(folder) | options)


def read_options(folder: Path) -> dict[str, Any]:
    """The options with which a run was begun.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        options = json.loads((folder / OPTIONS).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(
            f"{folder / OPTIONS} cannot be read ({error}); start a new run instead of resuming."
        ) from None
    return dict(options)


def write_results(result: RunResult) -> None:
    """Everything that a finished run leaves."""
    folder, recipe = result.folder, result.plan.recipe
    result.trained.detector.save(folder / DETECTOR)
    titles = column_titles(has_base=result.plan.base is not None)
    runs = [result, *([result.scratch] if result.scratch else [])]
    curves = {titles[run.learned]: run.trained.curve for run in runs}
    rows = [{"training": title, **point} for title, curve in curves.items() for point in curve]
    with replacing(folder / "curves.csv") as temporary:
        columns = None if rows else ["training", "step"]
        pd.DataFrame(rows, columns=columns).to_csv(temporary, index=False)
    if result.columns:
        write_image_figures(folder, result.columns)
    if recipe.evaluation.figures and result.columns:
        examined = {
            titles[name]: (column.examined, column.scores.threshold)
            for name, column in result.columns.items()
        }
        radius_um = recipe.evaluation.radius_um
        judged_by = result.trained.criterion
        points = {
            title: [(int(p["step"]), p[judged_by]) for p in curve if judged_by in p]
            for title, curve in curves.items()
        }
        write_figures(
            folder / "figures",
            examined,
            points,
            radius_um=radius_um,
            judged_by=CRITERIA.get(judged_by, ""),
        )
        shown = result.plan.test[: recipe.evaluation.overlays]
        write_overlays(folder / "overlays", shown, examined, radius_um=radius_um)
    _write_json(folder / METRICS, result.as_dict())


def _write_json(path: Path, document: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2), encoding="utf-8")
