"""Recipes by name: those that ship, and files."""

from __future__ import annotations

from pathlib import Path

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.stores.locations import shipped

SWEEPS = "sweeps"
"""The folder of recipes with a space to be searched, which `transfer-kit sweep` reads."""


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or a shipped name such as `everyday/finetune`.

    Raises:
        UserError: nothing goes by that name; the nearest that does is named.
    """
    if Path(name).is_file():
        return Path(name)
    folder = shipped("recipes")
    path = folder / f"{name}.yaml"
    if path.is_file() and SWEEPS not in Path(name).parts:
        return path
    if name.endswith((".yaml", ".yml")):
        raise UserError(f"There is no recipe file {name}; check the path.")
    raise UserError(f"There is no recipe {name!r}. {nearest_hint(name, list_recipes())}")


def list_recipes() -> list[str]:
    """Names of the shipped recipes."""
    folder = shipped("recipes")
    paths = (path.relative_to(folder) for path in folder.rglob("*.yaml"))
    return sorted(str(path.with_suffix("")) for path in paths if path.parts[0] != SWEEPS)
