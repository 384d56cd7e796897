"""A content hash of many files that is quick the second time."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.stores.locations import cache_folder


def content_hash(files: Iterable[tuple[str, Path]], root: Path) -> str:
    """SHA-256, as hexadecimal, of names and contents, whatever order they come in.

    A file whose size and time of change are as they were is not read again.

    Raises:
        UserError: a file cannot be read.
    """
    store = _store_of(root)
    known = _read(store)
    fresh: dict[str, list[Any]] = {}
    whole = hashlib.sha256()
    for name, path in sorted(files):
        digest = _of_file(path, known, fresh)
        whole.update(f"{name}\0{digest}\n".encode())
    if any(known.get(path) != entry for path, entry in fresh.items()):
        # A cache that cannot be written costs time, not correctness.
        with contextlib.suppress(OSError, UserError), replacing(store) as temporary:
            temporary.write_text(json.dumps({**known, **fresh}), encoding="utf-8")
    return whole.hexdigest()


def _of_file(path: Path, known: dict[str, list[Any]], fresh: dict[str, list[Any]]) -> str:
    try:
        stat = path.stat()
        entry = known.get(str(path))
        if entry is None or entry[:2] != [stat.st_size, stat.st_mtime_ns]:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            entry = [stat.st_size, stat.st_mtime_ns, digest]
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the file.") from None
    fresh[str(path)] = entry
    return str(entry[2])


def _store_of(root: Path) -> Path:
    key = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    return cache_folder() / "digests" / f"{key}.json"


def _read(store: Path) -> dict[str, list[Any]]:
    try:
        known = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
