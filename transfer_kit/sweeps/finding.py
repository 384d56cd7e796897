"""Sweeps by name: those that ship, and files."""

from __future__ import annotations

from pathlib import Path

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.stores.locations import shipped
from transfer_kit.stores.recipes import SWEEPS


def find_sweep(name: str) -> Path:
    """The file of a sweep: a path, or a shipped name such as `eye`.

    Raises:
        UserError: nothing goes by that name; the nearest that does is named.
    """
    if Path(name).is_file():
        return Path(name)
    path = shipped("recipes") / SWEEPS / f"{name.removeprefix(f'{SWEEPS}/')}.yaml"
    if path.is_file():
        return path
    if name.endswith((".yaml", ".yml")):
        raise UserError(f"There is no sweep file {name}; check the path.")
    raise UserError(f"There is no sweep {name!r}. {nearest_hint(name, list_sweeps())}")


def list_sweeps() -> list[str]:
    """Names of the shipped sweeps."""
    return sorted(path.stem for path in (shipped("recipes") / SWEEPS).glob("*.yaml"))
