"""Studies by name: those that ship, and files."""

from __future__ import annotations

from pathlib import Path

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.stores.locations import shipped


def find_study(name: str) -> Path:
    """The file of a study: a path, or a shipped name such as `freezing`.

    Raises:
        UserError: nothing goes by that name; the nearest that does is named.
    """
    if Path(name).is_file():
        return Path(name)
    path = shipped("studies") / f"{name}.yaml"
    if path.is_file():
        return path
    if name.endswith((".yaml", ".yml")):
        raise UserError(f"There is no study file {name}; check the path.")
    raise UserError(f"There is no study {name!r}. {nearest_hint(name, list_studies())}")


def is_study(name: str) -> bool:
    """Whether a name or path is one that `find_study` would look for."""
    return name.endswith((".yaml", ".yml")) or name in list_studies()


def list_studies() -> list[str]:
    """Names of the shipped studies."""
    return sorted(path.stem for path in shipped("studies").glob("*.yaml"))
