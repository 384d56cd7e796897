"""What studies have trained and measured, in one folder, each thing once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from transfer_kit.errors import UserError
from transfer_kit.files import replacing

Document = dict[str, Any]

TRAININGS = "trainings"
RESULT, DETECTOR, CHECKPOINTS = "result.json", "detector.safetensors", "checkpoints"


@dataclass(frozen=True)
class Cache:
    """A folder that all studies share.

    A training has a folder of its own, `trainings/KEY`; a measurement is a file `KIND/KEY.json`.
    Either is there whole or not at all, and whoever makes it holds its lock, so that commands may
    run side by side.
    """

    folder: Path

    def training(self, key: str) -> Path:
        """The folder of a training, made or not."""
        return self.folder / TRAININGS / key

    def detector(self, key: str) -> Path:
        """What a training gave."""
        return self.training(key) / DETECTOR

    def measurement(self, kind: str, key: str) -> Path:
        """The file of a measurement, made or not."""
        return self.folder / kind / f"{key}.json"

    def has_begun(self, key: str) -> bool:
        """Whether a training was begun and not ended."""
        own = self.training(key)
        return (own / CHECKPOINTS).is_dir() and not (own / RESULT).is_file()


def kept(path: Path, make: Callable[[], Document]) -> Document:
    """The document at `path`, made first if it is not there.

    Raises:
        UserError: the file is damaged, or making it fails.
    """
    found = read(path)
    if found is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        found = read(path)  # another process may have made it while this one waited
        if found is not None:
            return found
        document = make()
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return document


def read(path: Path) -> Document | None:
    """The document at `path`; None where there is none.

    Raises:
        UserError: the file is damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it to make it anew.") from None
    return dict(document)
