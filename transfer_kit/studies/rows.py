"""Everything that the trials of a study gave, as one long table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from transfer_kit.studies.cache import RESULT, Cache, Document, read
from transfer_kit.studies.study import Place
from transfer_kit.studies.task import BASE, ELSEWHERE, FORGOTTEN, PROMISE, RECALIBRATED, Task
from transfer_kit.studies.trials import lies_in

TARGET = "target"
"""`tested_on` of figures on the target's own test images; else it is the dataset's name."""

HELD_OUT = "base's own cases"
"""`tested_on` of figures on the base's held-out cases, before (column base) and after."""

_SCORES = ("f1", "precision", "recall", "f1_low", "f1_high", "distance_median", "threshold",
           "n_images", "n_cases", "n_nuclei", "radius_um")  # fmt: skip
_TRAINING = ("n_train_images", "n_validation_images", "n_train_nuclei", "steps", "best_step",
             "seconds", "device")  # fmt: skip


def gather(tasks: Sequence[Task], cache: Cache) -> pd.DataFrame:
    """One row a trial, column and set of test images, of what is in the cache.

    Columns: the axes, as text; `column` (base, recalibrated, trained); `tested_on`; the scores;
    of what was trained also the images that it learned from, steps and seconds; and `promise`,
    what `rank` said of the base.
    """
    rows = [row for task in tasks for row in _rows(task, cache)]
    return pd.DataFrame(rows)


def chosen(frame: pd.DataFrame, place: Place) -> pd.DataFrame:
    """The rows that lie in a place; without a word on them, of what was trained, on the target."""
    wanted = {**_usual(frame, place), **place}
    return frame[[lies_in(row, wanted) for row in frame.to_dict("records")]]


def _usual(frame: pd.DataFrame, place: Place) -> Place:
    tested_on = {"tested_on": TARGET}
    trained = {"column": "trained"} if "trained" in set(frame["column"]) else {}
    return {**tested_on, **trained}


def curves(tasks: Sequence[Task], cache: Cache) -> pd.DataFrame:
    """One row a trial and judged step: the axes, `step`, `f1` on the validation images."""
    rows = [{**task.place, **point} for task in tasks for point in _judged(task, cache)]
    return pd.DataFrame(rows, columns=[*(tasks[0].place if tasks else ()), "step", "f1"])


def _judged(task: Task, cache: Cache) -> list[dict[str, Any]]:
    result = read(cache.training(task.key) / RESULT) if task.key else None
    return [
        {"step": int(point["step"]), "f1": point["val/f1"]}
        for point in (result or {}).get("curve", ())
        if "val/f1" in point
    ]


def _rows(task: Task, cache: Cache) -> Iterator[dict[str, Any]]:
    result = read(cache.training(task.key) / RESULT) if task.key else None
    measured = {
        where: found
        for where, key in task.measurements.items()
        if (found := read(cache.measurement(where[0], key))) is not None
    }
    promise = measured.pop((PROMISE, ""), None)
    if result is not None:
        trained = {name: result[name] for name in _TRAINING}
        yield _row(task, "trained", TARGET, result["test"], {**trained, **_promised(promise)})
    for (kind, name), document in measured.items():
        yield from _measured(task, kind, name, document)


def _measured(task: Task, kind: str, name: str, document: Document) -> Iterator[dict[str, Any]]:
    if kind in (BASE, RECALIBRATED):
        yield _row(task, kind, TARGET, document["test"], {})
    if kind == ELSEWHERE:
        yield _row(task, "trained", name, document["test"], {})
    if kind == FORGOTTEN and document["parts"]:
        for column, when in (("base", "before"), ("trained", "after")):
            yield _pooled(task, column, [part[when] for part in document["parts"]], document)


def _pooled(
    task: Task, column: str, scores: Sequence[Document], document: Document
) -> dict[str, Any]:
    """The held-out cases of all the base's datasets as one set."""
    from transfer_kit.evaluation import pooled_f1

    counts = [each for one in scores for each in one["case_counts"].values()]
    pooled = {
        "f1": pooled_f1(counts),
        "n_images": sum(one["n_images"] for one in scores),
        "n_cases": len(counts),
        "n_nuclei": sum(one["n_nuclei"] for one in scores),
        "radius_um": scores[0]["radius_um"],
    }
    stands_in = any(part["stands_in"] for part in document["parts"])
    return _row(task, column, HELD_OUT, pooled, {"stands_in": stands_in})


def _promised(promise: Document | None) -> dict[str, float | None]:
    """Each score that `rank` knows, greater for a base that ought to be better."""
    if promise is None:
        return {}
    nearness = {
        f"promise_{name}": None if promise[field] is None else -promise[field]
        for name, field in (("features", "feature_distance"), ("stain", "stain_distance"))
    }
    return {
        "promise_recalibrated": promise["recalibrated"]["f1"],
        "promise_as-is": promise["as_is"]["f1"],
        **nearness,
        "promise_logme": promise["logme"],
        "promise_h-score": promise["h_score"],
    }


def _row(
    task: Task, column: str, tested_on: str, scores: Mapping[str, Any], more: Mapping[str, Any]
) -> dict[str, Any]:
    told = {name: scores.get(name) for name in _SCORES}
    return {**task.place, "column": column, "tested_on": tested_on, **told, **more}
