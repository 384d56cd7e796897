"""Where things lie: what ships with the kit, what the user added, caches, downloaded data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import platformdirs

from transfer_kit.errors import UserError

Kind = Literal["datasets", "models", "pairs", "recipes", "studies"]
_PACKAGE = Path(__file__).parents[1]
_PLACES: dict[Kind, str] = {
    "datasets": "stores/datasets",
    "models": "stores/models",
    "pairs": "stores/pairs",
    "recipes": "recipes",
    "studies": "studies",
}


def shipped(kind: Kind) -> Path:
    """The folder of what ships with the kit, in an installed wheel or in a checkout.

    Raises:
        UserError: neither is there: the installation is damaged.
    """
    for above in (_PACKAGE / "_shipped", _PACKAGE.parent):
        folder = above / _PLACES[kind]
        if folder.is_dir():
            return folder
    raise UserError(
        f"The {kind} that ship with transfer-kit are not in {_PACKAGE}; install it again."
    )


def user_folder() -> Path:
    """The user's own store: TRANSFER_KIT_HOME, else the platform's place for user data."""
    named = os.environ.get("TRANSFER_KIT_HOME")
    return Path(named).expanduser() if named else Path(platformdirs.user_data_dir("transfer-kit"))


def cache_folder() -> Path:
    """What can be made again: in TRANSFER_KIT_HOME, else the platform's place for caches."""
    named = os.environ.get("TRANSFER_KIT_HOME")
    if named:
        return Path(named).expanduser() / "cache"
    return Path(platformdirs.user_cache_dir("transfer-kit"))


def data_folders() -> tuple[Path, ...]:
    """The folders of downloaded datasets that TRANSFER_KIT_DATA names."""
    named = os.environ.get("TRANSFER_KIT_DATA", "")
    return tuple(Path(part).expanduser() for part in named.split(os.pathsep) if part)
