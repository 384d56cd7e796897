"""Carrying out what is left of a sweep with some workers, beside those of other commands."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from transfer_kit.engines.choose import Engine
from transfer_kit.engines.local import run_all
from transfer_kit.engines.outcome import Outcome
from transfer_kit.errors import UserError
from transfer_kit.sweeps.begin import join
from transfer_kit.sweeps.claims import claimed, take_back
from transfer_kit.sweeps.opened import Opened
from transfer_kit.sweeps.place import Place
from transfer_kit.sweeps.slots import running, waiting
from transfer_kit.sweeps.storage import refusing

LOOK_AGAIN_SECONDS = 2.0
"""Pause while all that is left runs elsewhere."""


@dataclass(frozen=True)
class Turn:
    """A worker's turn: to take one trial, whichever waits, and to carry it out.

    Attributes:
        until: Time (of `time.time`) from which on no trial is begun; None is never.
    """

    number: int
    until: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether no trial is to be begun any more."""
        return self.until is not None and time.time() >= self.until


def conduct(
    opened: Opened, *, workers: int, until: float | None = None, engine: Engine = run_all
) -> Iterator[Outcome[Turn] | None]:
    """Carry out all that waits, until every trial is finished or time is up.

    A worker that dies loses its trial to the next that is free, here or on another machine. Gives
    each outcome as it comes, and None now and then while other machines work.

    Args:
        opened: The sweep.
        workers: At a time, of one thread each.
        until: Time from which on no trial is begun.
        engine: Where they run.

    Raises:
        UserError: the storage or the engine cannot be reached.
    """
    place = opened.place
    over = Turn(0, until)
    while not over.is_over:
        with refusing(place):
            take_back(opened.study, place)
        slots = opened.slots()
        turns = [Turn(number, until) for number in range(len(waiting(slots)))]
        if turns:
            yield from _round(turns, opened, min(workers, len(turns)), engine)
        elif running(slots):
            yield None
            time.sleep(LOOK_AGAIN_SECONDS)
        else:
            return


def _round(
    turns: Sequence[Turn], opened: Opened, workers: int, engine: Engine
) -> Iterator[Outcome[Turn]]:
    """A turn for each trial that waits."""
    errors = []
    # Wherever the workers are started, and so that a process knows the sweep again.
    place = replace(opened.place, folder=opened.place.folder.absolute())
    work = partial(take_turn, place=place)
    for outcome in engine(turns, work, workers=workers, log=opened.place.log):
        errors.append(outcome.error)
        yield outcome
    if len(waiting(opened.slots())) < len(turns):
        return
    if errors and all(errors):
        raise UserError(f"No worker could begin a trial: {errors[0]}")
    time.sleep(LOOK_AGAIN_SECONDS)  # those that wait are held by workers taken for dead


def take_turn(turn: Turn, place: Place) -> None:
    """In a worker: take one trial and carry it out; nothing where none waits.

    Raises:
        UserError: the trial failed, or the storage cannot be reached.
    """
    from transfer_kit.sweeps.tidying import remove_checkpoints
    from transfer_kit.sweeps.trial import carry_out

    if turn.is_over:
        return
    opened = _opened(place)
    with ExitStack() as held:
        with refusing(place):
            take_back(opened.study, place)
            trial = held.enter_context(claimed(opened.study, place))
        if trial is None:
            return
        carry_out(opened, trial)
    remove_checkpoints(opened)


@lru_cache(maxsize=1)
def _opened(place: Place) -> Opened:
    """Once a process, which may be one of another machine."""
    return join(place)
