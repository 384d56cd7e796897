"""Sweeps by name: those that ship, files, and those that were begun."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.stores.locations import shipped
from transfer_kit.stores.recipes import SWEEPS
from transfer_kit.sweeps.place import Place, is_name, place_of


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


def begun_sweep(name: str, sweeps: Path, url: str | None) -> Place | None:
    """The place of a sweep that was begun, by its folder or its name; None where there is none.

    Args:
        name: A path, a name in `sweeps`, or one in the database.
        sweeps: Where the folders of sweeps are.
        url: Of a database; None is the one of the environment.

    Raises:
        UserError: the database cannot be reached.
    """
    folder = Path(name).expanduser()
    if not is_name(folder.name):
        return None
    if Place(folder.name, folder).definition.is_file():
        return _here(place_of(folder.name, folder.parent, url), url)
    if not is_name(name):
        return None
    place = place_of(name, sweeps, url)
    if place.definition.is_file():
        return _here(place, url)
    return place if place.url and _is_in_database(place) else None


def _here(place: Place, url: str | None) -> Place:
    """Without the environment's database where the trials lie in the folder itself."""
    return replace(place, url="") if url is None and place.journal.is_file() else place


def _is_in_database(place: Place) -> bool:
    from transfer_kit.sweeps.storage import names_in, open_storage

    return place.name in names_in(place, open_storage(place))
