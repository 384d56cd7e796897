"""A study in MLflow: one run for the whole, and in it one a trial."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from transfer_kit.files import replacing
from transfer_kit.run_data import DataPart
from transfer_kit.run_tracking import log_data
from transfer_kit.studies.cache import RESULT, Cache, Document, read
from transfer_kit.studies.conduct import Prepared
from transfer_kit.studies.identity import digest
from transfer_kit.studies.outcome import Written
from transfer_kit.studies.task import Task
from transfer_kit.tracking import TrackedRun, Tracking, open_tracking, redacted
from transfer_kit.tracking.environment import Environment
from transfer_kit.tracking.system_metrics import Sample

REMEMBERED = "mlflow.json"
_METRICS = ("f1", "f1_low", "f1_high", "precision", "recall", "distance_median", "threshold")


@dataclass
class Remembered:
    """What of a study is in which MLflow store already.

    Attributes:
        store: Its address, redacted.
        run_id: Of the whole; empty where the store has not answered yet.
        key: By which the run of the whole is found then.
        trials: The training of each trial that has a run.
    """

    store: str = ""
    run_id: str = ""
    key: str = ""
    trials: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, store: str) -> Remembered:
        """What is remembered of this store; nothing of another."""
        document = read(path)
        if document is None or document["store"] != store:
            return cls(store)
        return cls(**document)

    def write(self, path: Path) -> None:
        """Keep it."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")


def log_study(prepared: Prepared, written: Written, name: str) -> int:
    """Add what has run since the last time to the experiment `study NAME`; gives how many trials.

    Raises:
        UserError: the store cannot be opened.
    """
    cache = prepared.cache
    tracking = open_tracking(experiment=f"study {name}")
    folder = cache.folder / name
    remembered = Remembered.read(folder / REMEMBERED, redacted(tracking.store))
    new = [
        task
        for task in prepared.tasks.trials
        if task.key and task.is_done(cache) and remembered.trials.get(task.name) != task.key
    ]
    tags = {"study": name, "question": prepared.study.question, "finding": written.sentence}
    run = tracking.start_run(
        name,
        tags=tags,
        folder=folder / "mlflow",
        run_id=remembered.run_id or None,
        key=remembered.key or None,
    )
    with run as whole:
        whole.wait_until_begun()  # its trials are nested in it
        remembered.run_id, remembered.key = whole.run_id, whole.key
        whole.log_tags(tags)
        for task in new:
            _log_trial(task, tracking, cache, parent=whole.key)
            remembered.trials[task.name] = task.key
            remembered.write(folder / REMEMBERED)
        for path in (written.table, written.rows, written.figure):
            whole.log_artifact(path)
    remembered.run_id = whole.run_id
    remembered.write(folder / REMEMBERED)
    return len(new)


def _log_trial(task: Task, tracking: Tracking, cache: Cache, *, parent: str) -> None:
    result = read(cache.training(task.key) / RESULT)
    if result is None:
        return
    own = cache.training(task.key)
    key = digest([parent, task.name, task.key])
    run = tracking.start_run(task.name, tags=task.place, parent_key=parent, folder=own, key=key)
    with run as tracked:
        tracked.log_params(result["recipe"])
        tracked.log_artifact(own / "recipe.yaml")
        _log_circumstances(result, tracked)
        test = result["test"]
        scores = {f"test/{key}": test[key] for key in _METRICS if test[key] is not None}
        tracked.log_metrics(scores)
        for point in result["curve"]:
            figures = {key: value for key, value in point.items() if key != "step"}
            tracked.log_metrics(figures, step=int(point["step"]))


def _log_circumstances(result: Document, tracked: TrackedRun) -> None:
    """Environment, data and system metrics of the process that trained; older results have none."""
    if "environment" not in result:
        return
    tracked.log_tags(Environment.of_dict(result["environment"]).as_tags())
    log_data([DataPart(**part) for part in result["data"]], tracked)
    for sample in result["system"]:
        tracked.log_system(Sample(**sample))
