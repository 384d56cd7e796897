"""The trials of a sweep as numbered slots, of which each is finished once, whoever dies.

A slot holds one Optuna trial, and another for each that was lost with its worker or failed. All
slots are there from the beginning, waiting; to take one is an atomic change of state in the
storage, so no more trials are ever begun than were asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

SLOT, ERROR, RESULT, SUPERSEDED = "trial", "error", "result", "superseded"
"""User attributes of Optuna's trials: the slot's number, why it failed, what came of it, and
whether another machine was first to replace a lost one."""

FIXED = "fixed_params"
"""Where Optuna keeps the values with which a trial was enqueued."""

MOST_LOSSES = 3
"""Workers that may die of one trial before it is left alone: they may die of its size."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Slot:
    """One of the trials that were asked for.

    Attributes:
        number: From 0 on.
        attempts: Its Optuna trials, in the order in which they were begun.
    """

    number: int
    attempts: tuple[FrozenTrial, ...]

    @property
    def current(self) -> FrozenTrial | None:
        """The attempt that counts: of two made side by side the first; None where all failed."""
        alive = (each for each in self.attempts if each.state.name != "FAIL")
        return next(alive, None)

    @property
    def is_finished(self) -> bool:
        """Whether it is complete or pruned."""
        return self.current is not None and self.current.state.is_finished()

    @property
    def n_lost(self) -> int:
        """Workers that died of it, or were believed dead."""
        failed = [each for each in self.attempts if each.state.name == "FAIL"]
        return sum(ERROR not in each.user_attrs for each in failed)

    @property
    def error(self) -> str:
        """Why it failed for good; "" where it did not."""
        if self.current is not None:
            return ""
        told = str(self.attempts[-1].user_attrs.get(ERROR, ""))
        if not told and self.n_lost >= MOST_LOSSES:
            return f"{self.n_lost} workers died of it (is the memory enough?)"
        return told


def slots_of(study: Study) -> tuple[Slot, ...]:
    """All slots in order, as they are now."""
    found: dict[int, list[FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False):
        if SLOT in trial.user_attrs and SUPERSEDED not in trial.user_attrs:
            found.setdefault(int(trial.user_attrs[SLOT]), []).append(trial)
    return tuple(Slot(number, tuple(found[number])) for number in sorted(found))


def waiting(slots: Iterable[Slot]) -> list[FrozenTrial]:
    """The attempts that a worker may take, the first made first."""
    current = [slot.current for slot in slots]
    return [each for each in current if each is not None and each.state.name == "WAITING"]


def running(slots: Iterable[Slot]) -> list[FrozenTrial]:
    """The attempts that some worker has taken."""
    current = [slot.current for slot in slots]
    return [each for each in current if each is not None and each.state.name == "RUNNING"]


def make_slots(study: Study, count: int, fixed: Sequence[Values]) -> None:
    """Make what is missing of `count` slots; the first ones have the values of `fixed`."""
    there = {slot.number for slot in slots_of(study)}
    for number in range(count):
        if number not in there:
            _enqueue(study, number, fixed[number] if number < len(fixed) else None)


def replace_lost(study: Study) -> None:
    """Give each lost attempt a successor with its values, which goes on from its checkpoint."""
    for slot in slots_of(study):
        if slot.current is None and not slot.error:
            last = slot.attempts[-1]
            _enqueue(study, slot.number, last.params or last.system_attrs.get(FIXED))


def replace_failed(study: Study) -> int:
    """Try failed slots anew, those without values of their own with others; gives how many."""
    failed = [slot for slot in slots_of(study) if slot.error]
    for slot in failed:
        _enqueue(study, slot.number, slot.attempts[0].system_attrs.get(FIXED))
    return len(failed)


def superseded(slots: Iterable[Slot]) -> Iterator[FrozenTrial]:
    """Waiting attempts beside one that counts: two machines replaced the same loss at once."""
    for slot in slots:
        for each in slot.attempts:
            if each.state.name == "WAITING" and each is not slot.current:
                yield each


def _enqueue(study: Study, number: int, values: Values | None) -> None:
    from optuna.trial import TrialState, create_trial

    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            user_attrs={SLOT: number},
            system_attrs={} if values is None else {FIXED: dict(values)},
        )
    )
