"""Taking a trial, showing that its worker lives, and giving it to another where it does not.

On one machine a worker holds a file lock of the operating system, which is free the moment that its
process is gone; in a database it leaves a sign of life every few seconds (Optuna's heartbeat).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from filelock import FileLock, Timeout

from transfer_kit.sweeps.place import Place
from transfer_kit.sweeps.slots import (
    SLOT,
    SUPERSEDED,
    replace_lost,
    running,
    slots_of,
    superseded,
    waiting,
)
from transfer_kit.sweeps.storage import HEARTBEAT_SECONDS

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


@runtime_checkable
class KeepsSigns(Protocol):
    """A storage that remembers when a trial's worker last gave a sign of life."""

    def record_heartbeat(self, trial_id: int) -> None:
        """Remember one."""


@contextmanager
def claimed(study: Study, place: Place) -> Iterator[FrozenTrial | None]:
    """Take a waiting trial for the time of the block; None where there is none."""
    for trial in waiting(slots_of(study)):
        lock = _lock(place, trial)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        try:
            if _take(study, trial):
                with _showing_life(study, trial):
                    yield trial
                return
        finally:
            lock.release()
    yield None


def take_back(study: Study, place: Place) -> None:
    """Give the trials of workers that died to others."""
    with FileLock(_locks(place) / "take-back.lock"):
        if place.url:
            from optuna.storages import fail_stale_trials

            fail_stale_trials(study)
        else:
            for trial in running(slots_of(study)):
                _fail_if_abandoned(study, place, trial)
        replace_lost(study)
        for trial in superseded(slots_of(study)):
            fail(study, trial, **{SUPERSEDED: True})


def storage_of(study: Study) -> BaseStorage:
    """Where a study lies."""
    return study._storage


def identifier(study: Study, number: int) -> int:
    """A trial's identifier in its storage."""
    storage = storage_of(study)
    own = storage.get_study_id_from_name(study.study_name)
    return storage.get_trial_id_from_study_id_trial_number(own, number)


def fail(study: Study, trial: FrozenTrial, **attributes: str | bool) -> None:
    """End a trial without a result, unless it has ended; the attributes say why."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    storage, own = storage_of(study), identifier(study, trial.number)
    with suppress(UpdateFinishedTrialError):
        for name, value in attributes.items():
            storage.set_trial_user_attr(own, name, value)
        storage.set_trial_state_values(own, TrialState.FAIL)


def _take(study: Study, trial: FrozenTrial) -> bool:
    """Whether nobody else was first."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    own, storage = identifier(study, trial.number), storage_of(study)
    if isinstance(storage, KeepsSigns):
        # Before it is taken: a trial that never gave a sign of life would never count as lost.
        storage.record_heartbeat(own)
    try:
        return storage.set_trial_state_values(own, TrialState.RUNNING)
    except UpdateFinishedTrialError:
        return False


def _fail_if_abandoned(study: Study, place: Place, trial: FrozenTrial) -> None:
    lock = _lock(place, trial)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return
    try:
        # The lock was taken before the trial was, and is free: whoever took it is gone.
        if study.get_trials(deepcopy=False)[trial.number].state.name == "RUNNING":
            fail(study, trial)
    finally:
        lock.release()


@contextmanager
def _showing_life(study: Study, trial: FrozenTrial) -> Iterator[None]:
    """A sign of life every few seconds, where others may wait for it."""
    storage = storage_of(study)
    if not isinstance(storage, KeepsSigns):
        yield
        return
    over, own, keeper = threading.Event(), identifier(study, trial.number), storage

    def beat() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            # A database that does not answer for a while may do so the next time.
            with suppress(Exception):
                keeper.record_heartbeat(own)

    thread = threading.Thread(target=beat, name="sign-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _lock(place: Place, trial: FrozenTrial) -> FileLock:
    return FileLock(_locks(place) / f"{int(trial.user_attrs[SLOT]):04d}.lock")


def _locks(place: Place) -> Path:
    folder = place.folder / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
