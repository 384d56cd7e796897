"""The test figures of a sweep, computed once: of the trial that is best on validation images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transfer_kit.files import replacing
from transfer_kit.plan import make_plan
from transfer_kit.run import run_recipe
from transfer_kit.sweeps.opened import WINNER, Opened
from transfer_kit.sweeps.standing import Standing
from transfer_kit.sweeps.trial import CHECKPOINTS


def measure_winner(opened: Opened, standing: Standing) -> dict[str, Any] | None:
    """The best trial as a run of its own, with all that a run leaves; None where none is complete.

    It goes on from the trial's last checkpoint, after which nothing is left to train. Where that
    lies on another machine, it is trained anew.

    Raises:
        UserError: the run fails.
    """
    best = standing.best
    if best is None:
        return None
    if standing.winner is not None and standing.winner["trial"] == best.number:
        return standing.winner
    folder = run_of_winner(opened, best.number)
    _take_over(opened.place.trial(best.number) / CHECKPOINTS, folder / CHECKPOINTS)
    result = run_recipe(make_plan(standing.recipe_of(best)), folder)
    winner = {
        "trial": best.number,
        "run": str(folder),
        "mlflow_run_id": result.mlflow_run_id,
        **result.columns["finetuned"].as_dict(),
        "gain_over_recalibrated": None if result.gain is None else result.gain.as_dict(),
    }
    opened.remember(**{WINNER: winner})
    return winner


def run_of_winner(opened: Opened, number: int) -> Path:
    """The run folder of a trial that was measured on the test images; on the machine that did."""
    return opened.place.folder / f"best-{number:04d}"


def _take_over(checkpoints: Path, into: Path) -> None:
    if not checkpoints.is_dir() or into.is_dir():
        return
    with replacing(into) as temporary:
        shutil.copytree(checkpoints, temporary)
