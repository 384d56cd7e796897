"""Beginning a sweep, going on with one, and joining one that another machine began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import yaml
from filelock import FileLock

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.recipe import Recipe
from transfer_kit.sweeps.opened import (
    ASKED,
    BASE,
    FIRST,
    IDENTITY,
    NOTES,
    RECIPE,
    SWEEP,
    Opened,
    open_sweep,
)
from transfer_kit.sweeps.place import Place
from transfer_kit.sweeps.slots import Values, make_slots, replace_failed
from transfer_kit.sweeps.space import (
    check_space,
    corners,
    fields_of,
    first_values,
    grid,
    own_values,
    recipe_of,
)
from transfer_kit.sweeps.storage import load, names_in, open_storage, refusing
from transfer_kit.sweeps.sweep import Sweep

_FREE = ("trials", "question")
"""What may be said otherwise when a sweep is gone on with."""


def begin(sweep: Sweep, place: Place) -> Opened:
    """The sweep, made where there is none of its name; nothing is trained.

    A new one is checked by the schema of the recipe and, at the ends of all ranges, by looking up
    everything that its trials name; then the base is judged as it is, and all trials are made,
    waiting. The lock keeps two commands on one machine from making it twice.

    Raises:
        UserError: the space or a name in it is not valid, a sweep of that name has another space,
            or the storage cannot be reached.
    """
    recipe = recipe_of(sweep)
    check_space(sweep, recipe)
    storage = open_storage(place)
    place.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(place.folder / ".begin.lock"):
        if place.name not in names_in(place, storage):
            _make(sweep, recipe, place)
        opened = Opened(place, storage, load(place, storage))
        if ASKED not in opened.attributes:  # making it was interrupted
            _describe(opened, sweep, recipe)
        _refuse_another(opened, sweep, recipe)
        extend(opened, asked_by(sweep))
    return opened


def asked_by(sweep: Sweep) -> int:
    """The finished trials that a sweep asks for: all of a grid, where it does not say."""
    if sweep.sampler == "grid" and "trials" not in sweep.model_fields_set:
        return len(grid(sweep)) + len(sweep.first) + 1
    return sweep.trials


def extend(opened: Opened, trials: int) -> None:
    """Ask for so many finished trials in all; a sweep never has fewer than before.

    A grid has as many as it has combinations, at most.

    Raises:
        UserError: the storage cannot be reached.
    """
    fixed = list(opened.attributes[FIRST])
    if opened.sweep.sampler == "grid":
        fixed = _distinct([*fixed, *grid(opened.sweep)])
        trials = min(trials, len(fixed))
    wanted = max(trials, opened.attributes.get(ASKED, 0))
    with refusing(opened.place):
        make_slots(opened.study, wanted, fixed)
    opened.remember(**{ASKED: wanted})


def try_failed_again(opened: Opened) -> int:
    """Give failed trials another attempt; how many there are.

    Raises:
        UserError: the storage cannot be reached.
    """
    with refusing(opened.place):
        return replace_failed(opened.study)


def join(place: Place) -> Opened:
    """A sweep that was begun by another command, with the same data and base here.

    Raises:
        UserError: there is none, or the data, the base or the version here are others.
    """
    opened = open_sweep(place)
    if ASKED not in opened.attributes:
        raise UserError(f"The sweep {place.name} is just being made; try again in a minute.")
    refuse_other_data(opened)
    _write_definition(opened)
    return opened


def refuse_other_data(opened: Opened) -> None:
    """Refuse trials that could not be compared with those that are there.

    Raises:
        UserError: the data, the base or the version here are not those it was begun with.
    """
    if identity_of(opened.sweep, opened.recipe) != opened.attributes[IDENTITY]:
        raise UserError(
            f"The sweep {opened.place.name} was begun with other images, annotations or splits, "
            "another base or another version of transfer-kit than are here; bring the same, or "
            "begin a new sweep with --name."
        )


def identity_of(sweep: Sweep, recipe: Recipe) -> str:
    """Equal where the same values give the same trial: of data, bases and version."""
    from transfer_kit.studies.identity import Identities, digest

    known = Identities()
    recipes = [recipe.replaced(**fields_of(sweep, corner)) for corner in corners(sweep)]
    return digest([known.of_training(each) for each in [recipe, *recipes]])


def _make(sweep: Sweep, recipe: Recipe, place: Place) -> None:
    """Look up all that trials name, and make the study: once, before any worker begins."""
    from optuna import create_study
    from optuna.exceptions import DuplicatedStudyError
    from optuna.study import StudyDirection

    _look_up(sweep, recipe)
    best, fewest = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    directions = [best, *(fewest for _ in sweep.objectives[1:])]
    with refusing(place), suppress(DuplicatedStudyError):  # another machine was first
        study = create_study(
            study_name=place.name, storage=open_storage(place), directions=directions
        )
        study.set_metric_names(list(sweep.objectives))


def _look_up(sweep: Sweep, recipe: Recipe) -> None:
    from transfer_kit.plan import make_plan
    from transfer_kit.sweeps.trial import judged_images

    for values in corners(sweep):
        try:
            judged_images(make_plan(recipe.replaced(**fields_of(sweep, values))), sweep)
        except UserError as error:
            listed = ", ".join(f"{name} {value}" for name, value in values.items())
            raise UserError(f"The search space cannot be used: with {listed}: {error}") from None


def _describe(opened: Opened, sweep: Sweep, recipe: Recipe) -> None:
    """Write down what is searched, and the base's own figure; the number of trials comes last."""
    from transfer_kit.plan import make_plan
    from transfer_kit.sweeps.base_figure import base_as_it_is

    plan = make_plan(recipe)
    own = own_values(sweep, plan.recipe)
    notes = [f"the recipe's own values are no trial: {own}"] if isinstance(own, str) else []
    first = [*([] if isinstance(own, str) else [own]), *first_values(sweep, plan.recipe)]
    opened.remember(
        **{
            SWEEP: _document(sweep),
            RECIPE: _of_recipe(recipe),
            IDENTITY: identity_of(sweep, recipe),
            NOTES: notes,
            FIRST: _distinct(first),
            BASE: base_as_it_is(plan, sweep),
        }
    )
    _write_definition(opened)


def _distinct(several: Sequence[Values]) -> list[Values]:
    found: list[Values] = []
    for values in several:
        if values not in found:
            found.append(values)
    return found


def _refuse_another(opened: Opened, sweep: Sweep, recipe: Recipe) -> None:
    there, asked = opened.attributes[SWEEP], _document(sweep)
    unlike = [
        name
        for name in Sweep.model_fields
        if name not in _FREE and there.get(name) != asked.get(name)
    ]
    if not unlike and opened.attributes[RECIPE] != _of_recipe(recipe):
        unlike = ["recipe"]
    if unlike:
        raise UserError(
            f"The sweep {opened.place.name} exists with another {' and '.join(unlike)}; choose "
            "another --name, or remove it."
        )


def _document(sweep: Sweep) -> dict[str, Any]:
    return sweep.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _of_recipe(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude_unset=True)


def _write_definition(opened: Opened) -> None:
    document: Mapping[str, Any] = opened.attributes[SWEEP]
    path = opened.place.definition
    text = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=100)
    kept = "a database (say --storage, or set TRANSFER_KIT_STORAGE)"
    where = kept if opened.place.url else opened.place.journal.name
    with replacing(path) as temporary:
        temporary.write_text(f"# transfer-kit sweep, trials in {where}\n{text}", encoding="utf-8")
