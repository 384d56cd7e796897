"""Many slides, each a unit of its own: done, failed with its reason, or not begun."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from transfer_kit.cohorts.work import search_one
from transfer_kit.engines.choose import engine_of
from transfer_kit.inference.predict import SlideTask
from transfer_kit.inference.records import Record, read_record, write_record


def search_all(
    tasks: Sequence[SlideTask],
    *,
    workers: int,
    engine: str = "local",
    settings: Sequence[str] = (),
) -> Iterator[tuple[SlideTask, Record]]:
    """Search slides on an engine; gives each with its record as it ends.

    Nothing of one slide's failure touches another. Called again, what is done is not done again,
    and what failed or was not begun is tried.

    Args:
        tasks: Of one output folder.
        workers: Processes, or tasks at a time.
        engine: `local`, `ray` or `slurm`.
        settings: `name=value`, options of the engine.

    Raises:
        UserError: the engine cannot be had.
    """
    home = tasks[0].output
    run = engine_of(engine, settings, home)
    log = home / "records" / "failures.log"
    for outcome in run(list(tasks), search_one, workers=workers, log=log):
        task: SlideTask = outcome.task
        yield task, _record_of(task, outcome.error, home)


def _record_of(task: SlideTask, error: str, home: Path) -> Record:
    if error:
        # A process or machine that was lost could not write this itself.
        record = Record(str(task.slide), reason=error.splitlines()[0])
        write_record(home, task.name, record)
        return record
    record_there = read_record(home, task.name)
    return record_there or Record(str(task.slide), reason="its record is missing")
