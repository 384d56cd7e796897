"""How a sweep stands: its trials, which is best, and what none of the others beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transfer_kit.recipe import Recipe
from transfer_kit.sweeps.opened import BASE, WINNER, Opened
from transfer_kit.sweeps.slots import RESULT, Slot
from transfer_kit.sweeps.space import fields_of
from transfer_kit.sweeps.sweep import Sweep


@dataclass(frozen=True)
class Standing:
    """A sweep at one time.

    Attributes:
        slots: All trials.
        base: The base's own figure; None from scratch.
        winner: The best trial that was measured on the test images, and its figures there.
    """

    sweep: Sweep
    recipe: Recipe
    slots: tuple[Slot, ...]
    n_asked: int
    base: dict[str, Any] | None
    winner: dict[str, Any] | None

    @property
    def complete(self) -> list[Slot]:
        """Trials that were trained to the end."""
        return [slot for slot in self.slots if state_of(slot) == "complete"]

    @property
    def finished(self) -> list[Slot]:
        """Complete and pruned trials."""
        return [slot for slot in self.slots if slot.is_finished]

    @property
    def failed(self) -> dict[int, str]:
        """Why trials failed, by their numbers."""
        return {slot.number: slot.error for slot in self.slots if slot.error}

    @property
    def is_over(self) -> bool:
        """Whether all that was asked for is finished."""
        return len(self.finished) >= self.n_asked

    @property
    def best(self) -> Slot | None:
        """The trial that is best on the validation images, of equals the first."""
        return max(self.complete, key=lambda slot: values_of(slot)[0], default=None)

    @property
    def front(self) -> list[Slot]:
        """With two objectives, the trials that no other beats in one and equals in the other."""
        if not self.sweep.has_two_objectives:
            return [self.best] if self.best else []
        return [one for one in self.complete if not any(beats(o, one) for o in self.complete)]

    def recipe_of(self, slot: Slot) -> Recipe:
        """The recipe that a trial trained."""
        params = slot.current.params if slot.current else {}
        return self.recipe.replaced(**fields_of(self.sweep, params))

    def row(self, slot: Slot) -> dict[str, Any]:
        """A trial's row of the table."""
        trial = slot.current or slot.attempts[-1]
        result = trial.user_attrs.get(RESULT, {})
        fields = fields_of(self.sweep, trial.params)
        return {
            "trial": slot.number,
            "state": state_of(slot),
            "validation": figure_of(slot),
            "seconds": result.get("seconds"),
            "labels": result.get("labels"),
            "best_step": result.get("best_step"),
            "optuna_number": trial.number,
            "workers_lost": slot.n_lost,
            **{name: fields.get(name) for name in self.sweep.search},
        }


def standing_of(opened: Opened) -> Standing:
    """How a sweep stands now.

    Raises:
        UserError: the storage cannot be reached.
    """
    attributes = opened.attributes
    return Standing(
        opened.sweep,
        opened.recipe,
        opened.slots(),
        opened.n_asked,
        attributes.get(BASE),
        attributes.get(WINNER),
    )


def state_of(slot: Slot) -> str:
    """complete, pruned, diverged, running, waiting or failed."""
    trial = slot.current
    if trial is None:
        return "failed" if slot.error else "waiting"
    if trial.user_attrs.get(RESULT, {}).get("diverged"):
        return "diverged"
    return str(trial.state.name.lower())


def figure_of(slot: Slot) -> float | None:
    """What a trial reached on the validation images; of a pruned one so far."""
    trial = slot.current
    if trial is None:
        return None
    if state_of(slot) == "complete":
        return values_of(slot)[0]
    return max(trial.intermediate_values.values(), default=None)


def values_of(slot: Slot) -> Sequence[float]:
    """The objectives of a complete trial."""
    assert slot.current is not None  # noqa: S101 - for the type checker
    return list(slot.current.values)


def beats(one: Slot, other: Slot) -> bool:
    """Whether a trial is no worse in both objectives than another, and better in one."""
    (figure, cost), (others_figure, others_cost) = values_of(one), values_of(other)
    no_worse = figure >= others_figure and cost <= others_cost
    return no_worse and (figure > others_figure or cost < others_cost)
