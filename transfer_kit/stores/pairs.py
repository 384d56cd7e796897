"""Pairs by name: those that ship, the user's own, and files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.pair import Pair
from transfer_kit.stores.locations import shipped, user_folder
from transfer_kit.yaml_faults import parse_yaml

_FILES = (".yaml", ".yml", ".safetensors")


@dataclass(frozen=True)
class StoredPair:
    """A pair that a store holds."""

    name: str
    path: Path
    ships: bool

    def read(self) -> Pair:
        """The pair.

        Raises:
            UserError: its file has faults.
        """
        return Pair.read(self.path)


def list_pairs() -> list[StoredPair]:
    """All pairs by name; the user's own hide shipped ones of the same name."""
    found: dict[str, StoredPair] = {}
    for folder, ships in ((shipped("pairs"), True), (user_folder() / "pairs", False)):
        for path in sorted(folder.glob("*.yaml")):
            found[path.stem] = StoredPair(path.stem, path, ships)
    return [found[name] for name in sorted(found)]


def find_pair(name_or_path: str | Path) -> Pair:
    """A pair by its name or its yaml file.

    Raises:
        UserError: nothing goes by that name (the nearest that does is named), or it has faults.
    """
    name, place = str(name_or_path), Path(name_or_path).expanduser()
    known = {pair.name: pair for pair in list_pairs()}
    if name in known:
        return known[name].read()
    if place.is_file() or os.sep in name or name.endswith((".yaml", ".yml")):
        return Pair.read(place)
    raise UserError(
        f"There is no pair {name!r}. {nearest_hint(name, known)} 'transfer-kit pairs list' shows "
        "all."
    )


def pair_of_options(fields: Mapping[str, Any], path: Path | None = None) -> Pair:
    """The pair that `fields` make, over those of a yaml where there is one, fit to be kept.

    Without a name it is called `BASE-TARGET`. Folders and files become absolute, so that they are
    found from anywhere.

    Raises:
        UserError: all faults at once.
    """
    written = {} if path is None else parse_yaml(path)
    pair = Pair.of_fields({**written, **fields}, path)
    lasting = {name: _lasting(name) for name in (pair.base, *pair.sources)}
    document = pair.model_dump(exclude_unset=True)
    document |= {"base": lasting[pair.base], "target": lasting[pair.target]}
    document["auxiliary"] = [lasting[name] for name in pair.auxiliary]
    for table in ("classes", "mpp", "held_out"):
        document[table] = {lasting[name]: said for name, said in getattr(pair, table).items()}
    if not pair.name:
        document["name"] = f"{_plain(pair.base)}-{_plain(pair.target)}"
    return Pair.of_fields(document)


def add_pair(pair: Pair, *, replace: bool = False) -> StoredPair:
    """Keep a pair in the user's store under its name; whether it is sound is not looked at here.

    Raises:
        UserError: it has no name, the name is taken and `replace` is not given, or the store
            cannot be written.
    """
    if not pair.name:
        raise UserError(f"The pair {pair.title} has no name; give it one with --name.")
    taken = next((stored for stored in list_pairs() if stored.name == pair.name), None)
    if taken is not None and not replace:
        raise UserError(
            f"A pair {pair.name} is there already ({taken.path}); choose another --name, or add "
            "--replace."
        )
    path = user_folder() / "pairs" / f"{pair.name}.yaml"
    pair.write(path)
    return StoredPair(pair.name, path, ships=False)


def _lasting(name: str) -> str:
    """A path as an absolute one; names stay."""
    place = Path(name).expanduser()
    written_as_path = os.sep in name or name in (".", "..") or place.suffix in _FILES
    return str(place.resolve()) if written_as_path and place.exists() else name


def _plain(name: str) -> str:
    """A name, or the last part of a path, with letters that a name may have."""
    stem = Path(name).expanduser().resolve().name if os.sep in name else name
    for suffix in _FILES:
        stem = stem.removesuffix(suffix)
    return re.sub(r"[^\w.+-]+", "-", stem)
