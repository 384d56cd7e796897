"""Where a sweep lies: its folder on this machine, and the storage of its trials."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from transfer_kit.errors import UserError

VARIABLE = "TRANSFER_KIT_STORAGE"
SWEEPS = Path(".work/sweeps")

_NAME = re.compile(r"[\w][\w.+-]*")


@dataclass(frozen=True)
class Place:
    """A sweep's name, its folder on this machine, and the database it shares with others.

    Attributes:
        url: Of the database, with its password; "" for a journal file in the folder. Never shown.
    """

    name: str
    folder: Path
    url: str = field(default="", repr=False)

    def __getstate__(self) -> dict[str, object]:
        """What another process is given; a URL that its environment tells it, too, is left out."""
        told = os.environ.get(VARIABLE, "")
        url = None if self.url and self.url == told else self.url
        return {"name": self.name, "folder": self.folder, "url": url}

    def __setstate__(self, state: dict[str, object]) -> None:
        """The same place, with the URL of this process's environment where it was left out."""
        for name, value in state.items():
            if name == "url" and value is None:
                value = os.environ.get(VARIABLE, "")
            object.__setattr__(self, name, value)

    @property
    def journal(self) -> Path:
        """What happened in all trials, a line each; where there is no database."""
        return self.folder / "journal.log"

    @property
    def definition(self) -> Path:
        """The sweep as it was begun, for people."""
        return self.folder / "sweep.yaml"

    @property
    def log(self) -> Path:
        """What the worker processes print."""
        return self.folder / "workers.log"

    def trial(self, number: int) -> Path:
        """The folder of a trial, made or not."""
        return self.folder / "trials" / f"{number:04d}"


def is_name(name: str) -> bool:
    """Whether a sweep can be called so."""
    return _NAME.fullmatch(name) is not None


def place_of(name: str, sweeps: Path, url: str | None) -> Place:
    """The place of a sweep; without a URL the one of the environment counts.

    Raises:
        UserError: the name is none of a folder, or the storage is no URL.
    """
    if not is_name(name):
        raise UserError(
            f"A sweep cannot be called {name!r}; use letters, digits, dots and dashes (--name)."
        )
    url = os.environ.get(VARIABLE, "") if url is None else url
    if url and "://" not in url:
        raise UserError(
            "--storage should be the URL of a database, such as postgresql://user@host/name or "
            "sqlite:///sweeps.db; leave it out to keep trials in the sweep's own folder."
        )
    return Place(name, sweeps / name, url)
