"""The trials of a study: every combination of its axes as a recipe."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.pair_choice import with_pair
from transfer_kit.recipe import Recipe
from transfer_kit.stores.recipes import find_recipe
from transfer_kit.studies.study import (
    Axis,
    Fields,
    Place,
    Study,
    TrainedBase,
    labelled,
    values_of,
)


@dataclass(frozen=True)
class Trial:
    """One training of a study.

    Attributes:
        place: Its value on each axis, as people read it.
        recipe: Whole; its base and target may be names that only the study knows.
    """

    place: Mapping[str, str]
    recipe: Recipe

    @property
    def name(self) -> str:
        """By which `--only` chooses it."""
        return ",".join(f"{axis}={value}" for axis, value in self.place.items())


def trials_of(study: Study) -> tuple[Trial, ...]:
    """All trials, in the order of the axes.

    Raises:
        UserError: the recipe is unknown, or a trial's fields make no valid recipe.
    """
    axes = {name: labelled(values) for name, values in study.vary.items()}
    trials = []
    for combination in itertools.product(*axes.values()):
        place = dict(zip(axes, combination, strict=True))
        if any(lies_in(place, left_out) for left_out in study.leave_out):
            continue
        fields = dict(study.set)
        for axis, value in place.items():
            fields |= _fields_of(study.vary[axis], axis, value, axes[axis][value])
        trials.append(Trial(place, _recipe(study.recipe, fields, place)))
    if not trials:
        raise UserError(f"The study {study.question!r} leaves out all of its trials; mend it.")
    return tuple(trials)


def _fields_of(values: Axis, axis: str, label: str, value: Any) -> Fields:
    return dict(value) if isinstance(values, dict) else {axis: value}


def _recipe(start: str, fields: Fields, place: Mapping[str, str]) -> Recipe:
    try:
        filled = {name: _filled_in(value, place) for name, value in fields.items()}
        path = find_recipe(filled.pop("recipe", start))
        return with_pair(Recipe.read(path, **filled)).replaced(pair=None)
    except UserError as error:
        where = ", ".join(f"{axis} {value}" for axis, value in place.items())
        raise UserError(f"The trial with {where} is no recipe: {error}") from None


def _filled_in(value: Any, place: Mapping[str, str]) -> Any:
    """`{axis}` in a text is the trial's value on that axis."""
    if not isinstance(value, str) or "{" not in value:
        return value
    try:
        return value.format_map(place)
    except (KeyError, ValueError, IndexError):
        raise UserError(
            f"{value!r} names something in braces that is no axis. {nearest_hint(value, place)}"
        ) from None


def lies_in(place: Mapping[Any, Any], wanted: Place) -> bool:
    """Whether a trial or row has one of the wanted values on each of the wanted axes."""
    return all(str(place.get(axis)) in values_of(value) for axis, value in wanted.items())


def only(trials: Sequence[Trial], pattern: str | None) -> tuple[Trial, ...]:
    """The trials whose name a glob matches; all without one.

    Raises:
        UserError: none does.
    """
    if pattern is None:
        return tuple(trials)
    chosen = tuple(trial for trial in trials if fnmatchcase(trial.name, pattern))
    if not chosen:
        hint = nearest_hint(pattern, [trial.name for trial in trials[:3]])
        raise UserError(f"No trial's name matches --only {pattern!r}. {hint}")
    return chosen


def with_settings(study: Study, settings: Sequence[str]) -> Study:
    """The study with `field=value` laid over every trial; where it is an axis, its values.

    Raises:
        UserError: a setting has no value, or the study is not valid with it.
    """
    from transfer_kit.recipe import parse_setting

    document = study.model_dump(exclude_unset=True)
    for setting in settings:
        name, value = parse_setting(setting)
        axis = study.vary.get(name)
        if axis is None:
            document["set"] = {**document.get("set", {}), name: value}
            continue
        wanted = value if isinstance(value, list) else [value]
        chosen: Axis = _variants(axis, name, wanted) if isinstance(axis, dict) else wanted
        document["vary"] = {**document["vary"], name: chosen}
    return Study.of_fields(_without_lost_places(document))


def _variants(axis: dict[str, Fields], name: str, wanted: list[Any]) -> dict[str, Fields]:
    known = labelled(axis)
    labels = values_of(wanted)
    for label in labels:
        if label not in known:
            raise UserError(
                f"--set {name}: the study has no {name} {label!r}. {nearest_hint(label, known)}"
            )
    return {label: known[label] for label in labels}


def _without_lost_places(document: dict[str, Any]) -> dict[str, Any]:
    """Comparisons and left-out places of values that an axis no longer has are dropped."""
    axes = {name: set(labelled(values)) for name, values in document["vary"].items()}

    def stands(place: Place) -> bool:
        return all(
            name not in axes or axes[name] & set(values_of(value)) for name, value in place.items()
        )

    def narrowed(place: Place) -> Place:
        return {
            name: [v for v in values_of(value) if v in axes[name]] if name in axes else value
            for name, value in place.items()
        }

    document["leave_out"] = [narrowed(p) for p in document.get("leave_out", ()) if stands(p)]
    document["finding"] = [
        {**claim, "of": narrowed(claim["of"]), "against": narrowed(claim["against"])}
        for claim in document.get("finding", ())
        if stands(claim["of"]) and stands(claim["against"])
    ]
    return document


def base_recipes(name: str, base: TrainedBase) -> dict[str, Recipe]:
    """The recipe of a base that a study trains, or of each of its snapshots, by name.

    Raises:
        UserError: the recipe is unknown or not valid, or its schedule depends on where it ends, so
            that no step before is a snapshot of it.
    """
    recipe = Recipe.read(find_recipe(base.recipe), **base.set)
    if not base.snapshots:
        return {name: recipe}
    if recipe.train.schedule.name == "one_cycle":
        raise UserError(
            f"bases: {name} has snapshots, but one_cycle falls to nothing at its own end, so that "
            "no step before is a base of its own; set train.schedule.name: constant."
        )
    return {
        f"{name}@{steps}": recipe.replaced(**{"train.steps": steps})
        for steps in sorted(base.snapshots)
    }
