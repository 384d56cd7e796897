"""A tiny sweep in a laboratory, and workers that are this very process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from laboratory import BASE, TARGET
from optuna.trial import TrialState, create_trial

from transfer_kit.engines.outcome import Outcome
from transfer_kit.errors import UserError
from transfer_kit.sweeps.begin import begin
from transfer_kit.sweeps.conduct import conduct
from transfer_kit.sweeps.opened import ASKED, RECIPE, SWEEP, Opened, open_sweep
from transfer_kit.sweeps.place import Place
from transfer_kit.sweeps.slots import SLOT, make_slots
from transfer_kit.sweeps.space import recipe_of
from transfer_kit.sweeps.standing import Standing, standing_of
from transfer_kit.sweeps.storage import open_storage
from transfer_kit.sweeps.sweep import Sweep

SHORT = {
    "base": BASE,
    "target": TARGET,
    "patches.size_px": 48,
    "train": {"steps": 4, "validate_every": 2, "batch_size": 2},
}
RATE = "train.optimizer.learning_rate"


def sweep(**fields: Any) -> Sweep:
    """A sweep of trainings of a second each."""
    usual = {
        "set": SHORT,
        "search": {"freeze": {"int": [0, 2]}, RATE: {"float": [1e-4, 1e-2], "log": True}},
        "sampler": "random",
        "pruner": "none",
        "trials": 2,
    }
    return Sweep.of_fields({**usual, **fields})


def in_this_process(turns, work, *, workers: int, log: Path) -> Iterator[Outcome]:
    """Called as `run_all` is; a worker that is never killed."""
    for turn in turns:
        try:
            work(turn)
        except UserError as error:
            yield Outcome(turn, str(error))
        else:
            yield Outcome(turn)


def carried_out(asked: Sweep, folder: Path, name: str = "tiny") -> tuple[Opened, Standing]:
    """The whole sweep, in this process."""
    opened = begin(asked, Place(name, folder / name))
    for outcome in conduct(opened, workers=1, engine=in_this_process):
        assert outcome is None or not outcome.error, outcome
    return opened, standing_of(opened)


def begun(place: Place, count: int = 2) -> Opened:
    """A sweep as `begin` leaves it, without looking at data."""
    asked = sweep(trials=count)
    kept = open_storage(place)
    study = optuna.create_study(study_name=place.name, storage=kept, directions=["maximize"])
    study.set_user_attr(SWEEP, asked.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    recipe = recipe_of(asked).model_dump(mode="json", exclude_unset=True)
    study.set_user_attr(RECIPE, recipe)
    study.set_user_attr(ASKED, count)
    make_slots(study, count, [])
    return open_sweep(place)


def finished_trial(slot: int, values: list[float], params: dict[str, float]) -> Any:
    """A complete trial as a worker leaves it."""
    distributions = {name: optuna.distributions.FloatDistribution(0, 1) for name in params}
    result = {"seconds": 1.0, "labels": 8, "criterion": "F1"}
    return create_trial(
        state=TrialState.COMPLETE,
        values=values,
        params=params,
        distributions=distributions,
        user_attrs={SLOT: slot, "result": result},
    )
