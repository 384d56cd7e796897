"""A sweep as its storage knows it: what it searches, of what data, and its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from transfer_kit.errors import UserError
from transfer_kit.recipe import Recipe
from transfer_kit.sweeps.claims import storage_of
from transfer_kit.sweeps.place import VARIABLE, Place
from transfer_kit.sweeps.samplers import pruner_of, sampler_of
from transfer_kit.sweeps.slots import Slot, slots_of
from transfer_kit.sweeps.storage import load, open_storage, refusing
from transfer_kit.sweeps.sweep import Sweep

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

SWEEP, RECIPE, FIRST, IDENTITY, ASKED, NOTES, BASE, WINNER = (
    "sweep",
    "recipe",
    "first trials",
    "identity",
    "trials asked for",
    "notes",
    "base",
    "winner",
)
"""User attributes of Optuna's study."""


@dataclass(frozen=True)
class Opened:
    """A sweep that was begun.

    Attributes:
        study: Optuna's own object, without sampler and pruner.
    """

    place: Place
    storage: BaseStorage
    study: Study

    @cached_property
    def sweep(self) -> Sweep:
        """As it was begun."""
        return Sweep.of_fields(self.attributes[SWEEP])

    @cached_property
    def recipe(self) -> Recipe:
        """What all trials start from, wherever the file lies that it was read from."""
        return Recipe.model_validate(self.attributes[RECIPE])

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What is known of the whole sweep, as it is now."""
        with refusing(self.place):
            return dict(self.study.user_attrs)

    @property
    def own_values_are_first(self) -> bool:
        """Whether trial 0 has the recipe's own values; a note says why where it has not."""
        return not self.attributes.get(NOTES)

    @property
    def n_asked(self) -> int:
        """Finished trials that the sweep is to have."""
        return int(self.attributes[ASKED])

    def slots(self) -> tuple[Slot, ...]:
        """Its trials as they are now.

        Raises:
            UserError: the storage cannot be reached.
        """
        with refusing(self.place):
            return slots_of(self.study)

    def remember(self, **attributes: Any) -> None:
        """Write down what is known of the whole sweep.

        Raises:
            UserError: the storage cannot be reached.
        """
        with refusing(self.place):
            for name, value in attributes.items():
                self.study.set_user_attr(name, value)

    def for_trial(self, number: int) -> Study:
        """The study with sampler and pruner for one trial.

        Raises:
            UserError: the storage cannot be reached, or the sampler needs another package.
        """
        sampler = sampler_of(self.sweep, number)
        pruner = pruner_of(self.sweep, self.recipe)
        # The one that knows the trials already: of a trial that it has never read, a database's
        # cache takes no values.
        return load(self.place, storage_of(self.study), sampler=sampler, pruner=pruner)


def open_sweep(place: Place) -> Opened:
    """A sweep that was begun here or by another machine.

    Raises:
        UserError: there is none of that name, or its storage cannot be reached.
    """
    _refuse_absent(place)
    storage = open_storage(place)
    return Opened(place, storage, load(place, storage))


def _refuse_absent(place: Place) -> None:
    """Looking at what is not there should not make it."""
    if place.url or place.journal.is_file():
        return
    if place.definition.is_file():
        raise UserError(
            f"The trials of the sweep {place.name} lie in a database; say --storage URL, or set "
            f"{VARIABLE}."
        )
    raise UserError(
        f"There is no sweep {place.name!r} in {place.folder.parent}; see `transfer-kit sweep "
        f"list`, or say --storage (or set {VARIABLE}) for one in a database."
    )
