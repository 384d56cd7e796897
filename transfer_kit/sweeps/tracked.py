"""A sweep in MLflow: one run for the whole, and in it one a trial, while others are trained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transfer_kit.freeze_forms import write_freeze
from transfer_kit.gamma_forms import write_gamma
from transfer_kit.recipe import Recipe
from transfer_kit.run_data import DataPart
from transfer_kit.run_tracking import log_data
from transfer_kit.studies.identity import digest
from transfer_kit.studies.tracked import REMEMBERED, Remembered
from transfer_kit.sweeps.opened import Opened
from transfer_kit.sweeps.outcome import Outcome
from transfer_kit.sweeps.slots import RESULT, Slot
from transfer_kit.sweeps.standing import Standing, figure_of, state_of
from transfer_kit.sweeps.trial import RECIPE, SYSTEM
from transfer_kit.tracking import TrackedRun, Tracking, open_tracking, redacted
from transfer_kit.tracking.environment import Environment
from transfer_kit.tracking.system_metrics import Sample


@contextmanager
def tracked(opened: Opened) -> Iterator[SweepLog]:
    """The sweep's run in the experiment `sweep NAME`, for the time of the block.

    What is logged is written by a thread of its own: a slow server keeps no worker waiting.

    Raises:
        UserError: the store cannot be opened.
    """
    tracking = open_tracking(experiment=f"sweep {opened.place.name}")
    with ThreadPoolExecutor(1, thread_name_prefix="sweep-log") as thread:
        log = SweepLog(opened, tracking, thread)
        try:
            yield log
        finally:
            log.close()


class SweepLog:
    """Logs what is new of a sweep, once in each store."""

    def __init__(self, opened: Opened, tracking: Tracking, thread: ThreadPoolExecutor) -> None:
        self._opened = opened
        self._tracking = tracking
        self._thread = thread
        self._path = opened.place.folder / REMEMBERED
        self._remembered = Remembered.read(self._path, redacted(tracking.store))
        name, tags = opened.place.name, {"sweep": opened.place.name}
        if opened.sweep.question:
            tags["question"] = opened.sweep.question
        self._whole = tracking.start_run(
            name,
            tags=tags,
            folder=opened.place.folder / "mlflow",
            run_id=self._remembered.run_id or None,
            key=self._remembered.key or None,
        )
        self._waiting: list[Future[None]] = [thread.submit(self._begin)]

    def log(self, standing: Standing) -> None:
        """Log the trials that have finished since; returns at once."""
        new = [
            slot
            for slot in standing.finished
            if self._remembered.trials.get(str(slot.number)) != state_of(slot)
        ]
        for slot in new:
            self._remembered.trials[str(slot.number)] = state_of(slot)
            self._waiting.append(self._thread.submit(self._log_trial, standing, slot))

    def log_outcome(self, outcome: Outcome) -> None:
        """Log the summary, its files, and the winner's test figures; returns at once."""
        self._waiting.append(self._thread.submit(self._log_outcome, outcome))

    def close(self) -> None:
        """Wait until all is logged, or kept in the folder to be sent later."""
        for each in self._waiting:
            each.result()
        self._thread.submit(self._whole.__exit__, None, None, None).result()
        self._remember()

    def _begin(self) -> None:
        whole: TrackedRun = self._whole.__enter__()
        whole.wait_until_begun()  # its trials are nested in it
        whole.log_params({"sweep": self._opened.attributes["sweep"]})
        self._remember()

    def _log_trial(self, standing: Standing, slot: Slot) -> None:
        trial = slot.current
        assert trial is not None  # noqa: S101 - finished
        folder = self._opened.place.trial(slot.number)
        run = self._tracking.start_run(
            f"trial {slot.number}",
            tags={"sweep": self._opened.place.name, "state": state_of(slot)},
            parent_key=self._whole.key,
            folder=folder,
            key=digest([self._whole.key, slot.number, state_of(slot)]),
        )
        result = trial.user_attrs.get(RESULT, {})
        with run as own:
            own.log_params(_params(standing.recipe_of(slot)))
            if (folder / RECIPE).is_file():
                own.log_artifact(folder / RECIPE)
            _log_circumstances(result, folder, own)
            for point in result.get("curve", ()):
                figures = {key: value for key, value in point.items() if key != "step"}
                own.log_metrics(figures, step=int(point["step"]))
            own.log_metrics(_objectives(slot, result))
        self._remember()

    def _log_outcome(self, outcome: Outcome) -> None:
        told = outcome.told
        best, test = told["best"], told["test"]
        figures = {} if best is None else {"best/validation": best["validation"]}
        if told["base"] is not None:
            figures["base/validation"] = told["base"]["validation"]
        if test is not None:
            figures["test/f1"] = test["test"]["f1"]
            self._whole.log_tags({"winner_run_id": test["mlflow_run_id"]})
        self._whole.log_metrics(figures, step=told["standing"]["finished"])
        for path in outcome.files.values():
            self._whole.log_artifact(path)

    def _remember(self) -> None:
        self._remembered.run_id, self._remembered.key = self._whole.run_id, self._whole.key
        self._remembered.write(self._path)


def _log_circumstances(result: dict[str, Any], folder: Path, own: TrackedRun) -> None:
    """Environment and data of the process that trained; its machine's load where it is this one."""
    if "environment" in result:
        own.log_tags(Environment.of_dict(result["environment"]).as_tags())
        log_data([DataPart(**part) for part in result["data"]], own)
    if (folder / SYSTEM).is_file():
        for sample in json.loads((folder / SYSTEM).read_text(encoding="utf-8")):
            own.log_system(Sample(**sample))


def _objectives(slot: Slot, result: dict[str, Any]) -> dict[str, float]:
    """By the same names in all trials; a pruned one has what it reached."""
    figures = {"validation": figure_of(slot), "seconds": result.get("seconds")}
    figures["labels"] = result.get("labels")
    found = {f"best/{name}": value for name, value in figures.items() if value is not None}
    return {name: float(value) for name, value in found.items()}


def _params(recipe: Recipe) -> dict[str, Any]:
    """Fields as runs log them: a schedule is one parameter."""
    params = recipe.model_dump(mode="json")
    params["freeze"] = write_freeze(recipe.freeze)
    params["auxiliary"]["gamma"] = write_gamma(recipe.auxiliary.gamma)
    return params
