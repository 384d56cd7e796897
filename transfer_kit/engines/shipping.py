"""Bringing home what a task wrote on a machine that does not share a folder with this one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

from transfer_kit.errors import UserError
from transfer_kit.files import replacing

_MARK = ".seen-from-here"


def leave_mark(home: Path) -> str:
    """Write a word into a folder that who shares it can read there; gives the word."""
    home.mkdir(parents=True, exist_ok=True)
    word = uuid.uuid4().hex
    (home / _MARK).write_text(word, encoding="utf-8")
    return word


def is_shared(home: Path, word: str) -> bool:
    """Whether the folder of that path is the one in which the word was left."""
    try:
        return (home / _MARK).read_text(encoding="utf-8") == word
    except OSError:
        return False


def changed_files(home: Path, before: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Size and time of change of the files below a folder that are not as they were `before`.

    Hidden files are left out: locks, marks, and what is not whole yet.
    """
    found = {}
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        if any(part.startswith(".") for part in Path(name).parts) or not path.is_file():
            continue
        told = path.stat()
        stamp = (told.st_size, told.st_mtime_ns)
        if before.get(name) != stamp:
            found[name] = stamp
    return found


def bring_home(files: Mapping[str, bytes], home: Path) -> None:
    """Write files below a folder, each whole or not at all.

    Raises:
        UserError: a name leads out of the folder.
    """
    root = home.resolve()
    for name, content in files.items():
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise UserError(f"A machine of the cluster sent a file {name!r}, outside of {home}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
