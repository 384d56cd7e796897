"""The values that a sweep's fields may have, checked by the recipe's own schema."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from transfer_kit.errors import UserError
from transfer_kit.pair_choice import with_pair
from transfer_kit.recipe import Recipe
from transfer_kit.stores.recipes import find_recipe
from transfer_kit.studies.study import Fields, label_of
from transfer_kit.sweeps.contradictions import contradictions
from transfer_kit.sweeps.sweep import SearchedField, Sweep

Values = dict[str, Any]
"""The searched fields of one trial as Optuna knows them: numbers, and labels of choices."""

MOST_COMBINATIONS = 256
"""Combinations of choices up to which every one is checked before a sweep begins."""

NOT_SEARCHED = {
    "pair": "it says base and target together; search base, or begin a sweep for each pair",
    "target": "trials on other images cannot be compared; begin a sweep for each target",
    "seed": "the seed decides which images judge; begin a sweep for each seed",
    "validation_share": "trials that other images judge cannot be compared; say it in `set`",
    "classes": "trials that find other classes cannot be compared; say them in `set`",
    "evaluation": "trials that are judged by other rules cannot be compared; say them in `set`",
    "adaptation": "sweeps search what learns from labels",
}
_INSIDE = 0.382


def recipe_of(sweep: Sweep) -> Recipe:
    """The recipe that all trials start from.

    Raises:
        UserError: it is unknown, or not valid with what is set.
    """
    recipe = Recipe.read(find_recipe(sweep.recipe), **sweep.set)
    return recipe if recipe.pair is None else with_pair(recipe).replaced(pair=None)


def fields_of(sweep: Sweep, values: Mapping[str, Any]) -> Fields:
    """What a trial lays over the recipe."""
    return {name: sweep.search[name].value_of(value) for name, value in values.items()}


def check_space(sweep: Sweep, recipe: Recipe) -> None:
    """Refuse a space with values that are no recipe; nothing is looked up or trained.

    Both ends and the inside of each range are tried, each choice, and all combinations of choices
    where they are few.

    Raises:
        UserError: all faults that are found, each with its field and value.
    """
    faults = dict.fromkeys([*contradictions(sweep), *_faults_of_fields(sweep, recipe)])
    if not faults:
        faults = dict.fromkeys(_faults_of_combinations(sweep, recipe))
    if faults:
        told = "; ".join(fault.rstrip(".") for fault in faults)
        raise UserError(f"The search space cannot be used: {told}.")


def _faults_of_fields(sweep: Sweep, recipe: Recipe) -> Iterator[str]:
    for name, field in sweep.search.items():
        whole = next((key for key in NOT_SEARCHED if name.split(".")[0] == key), None)
        if whole is not None:
            yield f"{name} cannot be searched ({NOT_SEARCHED[whole]})"
            continue
        if name in sweep.set:
            yield f"{name} is set and searched; leave it out of one of the two"
        for value in _tried(field):
            try:
                recipe.replaced(**{name: value})
            except UserError as error:
                yield _without_subject(error)
                break
    if "labels" in sweep.search:
        yield from _faults_of_labels(sweep, recipe)


def _faults_of_labels(sweep: Sweep, recipe: Recipe) -> Iterator[str]:
    """All trials are judged on the whole validation split, which then must not train."""
    if not recipe.validation_share:
        yield "labels are searched, so that `set` should say a validation_share above 0"
    if "labels" not in sweep.objectives:
        yield "labels are searched, so that `objectives` should be [validation, labels]"


def _tried(field: SearchedField) -> list[Any]:
    if field.choice is not None:
        return list(field.choice)
    low, high = field.ends
    inside = low + _INSIDE * (high - low)
    return [low, high, round(inside) if field.int_range is not None else inside]


def _faults_of_combinations(sweep: Sweep, recipe: Recipe) -> Iterator[str]:
    for values in _combinations(sweep, _few_values(sweep)):
        fields = fields_of(sweep, values)
        try:
            recipe.replaced(**fields)
        except UserError as error:
            yield f"{_listed(values)}: {_without_subject(error)}"


def _few_values(sweep: Sweep) -> dict[str, list[Any]]:
    """All choices and both ends of ranges where they are few together, else the choices alone."""
    fields = sweep.search.items()
    choices: dict[str, list[Any]] = {
        name: [*field.labels] for name, field in fields if field.choice
    }
    ranges: dict[str, list[Any]] = {name: [*each.ends] for name, each in fields if not each.choice}
    for each in ({**choices, **ranges}, choices):
        count = 1
        for values in each.values():
            count *= len(values)
        if count <= MOST_COMBINATIONS:
            return {name: each[name] for name in sweep.search if name in each}
    return {}


def _combinations(sweep: Sweep, values: Mapping[str, list[Any]]) -> Iterator[Values]:
    """Every combination once; fields that are not searched with the others are left out."""
    seen = set()
    for combination in itertools.product(*values.values()):
        chosen: Values = {}
        for name, value in zip(values, combination, strict=True):
            if sweep.is_searched(name, chosen):
                chosen[name] = value
        key = tuple(chosen.items())
        if key not in seen:
            seen.add(key)
            yield chosen


def grid(sweep: Sweep) -> list[Values]:
    """All combinations, in a random order of the sweep's seed."""
    every = {name: _all_values(field) for name, field in sweep.search.items()}
    combinations = list(_combinations(sweep, every))
    random.Random(sweep.seed).shuffle(combinations)
    return combinations


def _all_values(field: SearchedField) -> list[Any]:
    if field.choice is not None:
        return list(field.labels)
    low, high = field.ends
    step = field.step or 1
    count = int((high - low) / step + 1e-9) + 1
    numbers = [low + number * step for number in range(count)]
    return [int(number) for number in numbers] if field.int_range is not None else numbers


def corners(sweep: Sweep) -> list[Values]:
    """A few combinations in which each choice and each end of a range comes at least once."""
    values = {
        name: list(field.labels) if field.choice else list(field.ends)
        for name, field in sweep.search.items()
    }
    most = max(len(each) for each in values.values())
    found = []
    for number in range(most):
        chosen: Values = {}
        for name, each in values.items():
            if sweep.is_searched(name, chosen):
                chosen[name] = each[number % len(each)]
        found.append(chosen)
    return found


def own_values(sweep: Sweep, recipe: Recipe) -> Values | str:
    """The recipe's own values of the searched fields; else why they are no trial."""
    return _placed(sweep, {}, recipe)


def first_values(sweep: Sweep, recipe: Recipe) -> list[Values]:
    """The trials that the sweep names itself.

    Raises:
        UserError: a field of one is not searched, or its value is not.
    """
    found = []
    for number, fields in enumerate(sweep.first, 1):
        placed = _placed(sweep, fields, recipe)
        unknown = [name for name in fields if name not in sweep.search]
        if unknown:
            raise UserError(f"first, trial {number}: {unknown[0]} is not searched; add it there.")
        if isinstance(placed, str):
            raise UserError(f"first, trial {number}: {placed}; say another value.")
        found.append(placed)
    return found


def _placed(sweep: Sweep, fields: Fields, recipe: Recipe) -> Values | str:
    chosen: Values = {}
    for name, field in sweep.search.items():
        if not sweep.is_searched(name, chosen):
            continue
        value = fields[name] if name in fields else value_in(recipe, name)
        if value is None and not field.holds(None):
            return f"{name} is not said by the recipe"
        if not field.holds(value):
            return f"{name} of {label_of(value)} is none of the values that are searched"
        chosen[name] = field.stored(value)
    return chosen


def value_in(recipe: Recipe, name: str) -> Any:
    """A recipe's value of a dotted field; None where an option is not said."""
    value: Any = recipe
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
        if value is None:
            return None
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _listed(values: Values) -> str:
    return ", ".join(f"{name} {label_of(value)}" for name, value in values.items())


def _without_subject(error: UserError) -> str:
    return str(error).removeprefix("The recipe: ")
