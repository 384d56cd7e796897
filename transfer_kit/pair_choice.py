"""Pairs and recipes: what a named pair fills in, and the pair that a recipe amounts to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_kit.errors import UserError
from transfer_kit.pair import Pair
from transfer_kit.recipe import Recipe
from transfer_kit.stores.pairs import find_pair, pair_of_options

TABLES = ("classes", "mpp", "held_out")
"""Of a pair and of `auxiliary` in a recipe, by source."""


def fields_of(pair: Pair) -> dict[str, Any]:
    """The fields of a recipe that say what the pair says."""
    tables = {f"auxiliary.{name}": getattr(pair, name) for name in TABLES}
    names = {"base": pair.base, "target": pair.target, "auxiliary.sources": pair.auxiliary}
    return names | tables


def with_pair(recipe: Recipe) -> Recipe:
    """The recipe with what its pair says filled in, but for what it says itself.

    Raises:
        UserError: there is no such pair, or it has faults.
    """
    if recipe.pair is None or _says_all(recipe):
        return recipe
    pair = _lasting(find_pair(recipe.pair))
    said = _said(recipe)
    filled = recipe.replaced(
        **{name: value for name, value in fields_of(pair).items() if name not in said}
    )
    # Where the recipe names other sources, the pair's tables of its own ones have no place.
    sources = {*targets_of(filled), *filled.auxiliary.sources}
    tables = {
        f"auxiliary.{name}": _only(getattr(filled.auxiliary, name), sources)
        for name in TABLES
        if f"auxiliary.{name}" not in said
    }
    path = Path(recipe.pair).expanduser()
    named = str(path.resolve()) if path.is_file() else recipe.pair
    return filled.replaced(pair=named, **tables)


def targets_of(recipe: Recipe) -> list[str]:
    """The names of the targets, which ' + ' joins."""
    return [name.strip() for name in recipe.target.split(" + ")]


def pair_of(recipe: Recipe, target: str) -> Pair:
    """The pair of the recipe's base, one of its targets and its auxiliary sources.

    It has the name of the pair that the recipe names where it says the same, else none. Folders
    and files are absolute.

    Raises:
        UserError: an auxiliary source is the target, is named twice, or a table names neither.
    """
    auxiliary = recipe.auxiliary
    others = set(targets_of(recipe)) - {target}
    fields = {
        "base": recipe.base,
        "target": target,
        "auxiliary": auxiliary.sources,
        **{
            name: {
                key: value for key, value in getattr(auxiliary, name).items() if key not in others
            }
            for name in TABLES
        },
    }
    pair = _lasting(Pair.of_fields(fields))
    named = _named(recipe)
    return named if named is not None and fields_of(named) == fields_of(pair) else pair


def pair_notes(recipe: Recipe, pair: Pair) -> list[str]:
    """Where a recipe says otherwise than the pair that it names: its own word counts."""
    named = _named(recipe)
    if named is None:
        return []
    theirs, ours = fields_of(named), fields_of(pair)
    others = [name for name in theirs if theirs[name] != ours[name]]
    if not others:
        return []
    return [f"pair: the recipe says {', '.join(others)} itself, and not as {named.title} does"]


def settled_tables(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The auxiliary fields of a recipe that say what its pairs, one a target, say."""
    tables = {
        f"auxiliary.{name}": {k: v for pair in pairs for k, v in getattr(pair, name).items()}
        for name in TABLES
    }
    return {"auxiliary.sources": pairs[0].auxiliary, **tables}


def _named(recipe: Recipe) -> Pair | None:
    """The pair that the recipe names, as far as it is still there."""
    if recipe.pair is None:
        return None
    try:
        return _lasting(find_pair(recipe.pair))
    except UserError:
        if _says_all(recipe):
            return None
        raise


def _lasting(pair: Pair) -> Pair:
    """With folders and files as absolute paths, and called what it was called."""
    lasting = pair_of_options(pair.model_dump(exclude_unset=True))
    return lasting.model_copy(update={"name": pair.name})


def _said(recipe: Recipe) -> set[str]:
    """Of the fields that a pair says, those that the recipe says itself."""
    said = {"base"} & recipe.model_fields_set
    said |= {"target"} if recipe.target else set()
    own = recipe.auxiliary.model_fields_set if "auxiliary" in recipe.model_fields_set else set()
    return said | {f"auxiliary.{name}" for name in own}


def _says_all(recipe: Recipe) -> bool:
    wanted = {"base", "target", "auxiliary.sources", *(f"auxiliary.{name}" for name in TABLES)}
    return wanted <= _said(recipe)


def _only(table: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name in names}
