"""A study from start to end: each training once, and whatever was killed goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from transfer_kit.engines.choose import Engine
from transfer_kit.engines.local import run_all
from transfer_kit.engines.outcome import Outcome
from transfer_kit.studies.cache import Cache
from transfer_kit.studies.found import Found
from transfer_kit.studies.identity import Identities, digest
from transfer_kit.studies.made_data import make_data
from transfer_kit.studies.rows import curves, gather
from transfer_kit.studies.study import Study
from transfer_kit.studies.task import Task, Tasks, tasks_of
from transfer_kit.studies.trials import only, trials_of
from transfer_kit.studies.work import carry_out

LOG = "workers.log"


@dataclass(frozen=True)
class Prepared:
    """A study with all its names found; nothing is trained.

    Attributes:
        n_trials: Of the whole study, also where some were asked for.
        data: The folders of the datasets that the study makes itself, made or not, by name.
    """

    study: Study
    tasks: Tasks
    cache: Cache
    n_trials: int
    data: Mapping[str, Path]

    @property
    def waiting(self) -> list[Task]:
        """Trials of which something is left to do."""
        return [task for task in self.tasks.trials if not task.is_done(self.cache)]

    def found(self) -> Found:
        """What the trials gave so far."""
        done = [task for task in self.tasks.trials if task.is_done(self.cache)]
        return Found(
            self.study,
            gather(self.tasks.trials, self.cache),
            curves(self.tasks.trials, self.cache),
            len(done),
            self.n_trials,
        )


def prepare(study: Study, folder: Path, *, pattern: str | None = None) -> Prepared:
    """Check every trial of a study, and find all that it names.

    Nothing is written.

    Args:
        study: What to prepare.
        folder: Which all studies share.
        pattern: A glob of the trials' names.

    Raises:
        UserError: a trial's recipe is not valid, or names what is not known or not here.
    """
    every = trials_of(study)
    trials = only(every, pattern)
    cache = Cache(folder)
    wanted = {trial.recipe.target for trial in trials}
    known = Identities(study.bases, study.data)
    data = {
        name: folder / "data" / digest(known.of_data(name)) for name in study.data if name in wanted
    }
    return Prepared(study, tasks_of(study, trials, cache, data), cache, len(every), data)


def conduct(
    prepared: Prepared, *, workers: int, engine: Engine = run_all
) -> Iterator[Outcome[Task]]:
    """Carry out what is left of a study, data and bases first; gives each outcome as it comes.

    A trial that fails does not stop the others; those that start from a base that failed are not
    begun.

    Args:
        prepared: From `prepare`.
        workers: Processes, or tasks of a cluster, at a time.
        engine: Where they run.

    Raises:
        UserError: a dataset cannot be made, or the engine cannot be used.
    """
    cache = prepared.cache
    waiting = prepared.waiting
    make_all_data(prepared)
    needed = {task.recipe.base for task in waiting}
    chains = [
        chain
        for chain in prepared.tasks.bases
        if any(_is_left(base, cache) and str(_path(base, cache)) in needed for base in chain)
    ]
    lost: dict[str, str] = {}
    for outcome in _run(chains, cache, workers, engine):
        if outcome.error:
            lost |= {str(_path(base, cache)): base.name for base in outcome.task}
        yield Outcome(outcome.task[-1], outcome.error)
    begun = []
    for task in waiting:
        if task.recipe.base in lost and not Path(task.recipe.base).is_file():
            yield Outcome(task, f"its {lost[task.recipe.base]} could not be trained.")
        else:
            begun.append((task,))
    for outcome in _run(begun, cache, workers, engine):
        yield Outcome(outcome.task[-1], outcome.error)


def make_all_data(prepared: Prepared) -> None:
    """Make the datasets that trials wait for and that are not there yet."""
    targets = {task.recipe.target for task in prepared.waiting}
    for name, folder in prepared.data.items():
        if str(folder.absolute()) in targets:
            make_data(prepared.study.data[name], folder)


def _run(
    jobs: Sequence[tuple[Task, ...]], cache: Cache, workers: int, engine: Engine
) -> Iterator[Outcome[tuple[Task, ...]]]:
    # Absolute, so that a process that was begun elsewhere finds it.
    work = partial(carry_out_each, folder=cache.folder.absolute())
    if not jobs:
        return iter(())
    return engine(jobs, work, workers=min(workers, len(jobs)), log=cache.folder / LOG)


def carry_out_each(tasks: tuple[Task, ...], folder: Path) -> None:
    """One task after the other, since each may go on from the one before."""
    for task in tasks:
        carry_out(task, folder)


def _path(base: Task, cache: Cache) -> Path:
    return cache.detector(base.key).absolute()


def _is_left(base: Task, cache: Cache) -> bool:
    return not base.is_done(cache)
