"""What each training gave: a small JSON file and a small NPZ file, which are committed.

    docs/results/papers/<study>/<row>/<part>.json    settings, seed, versions, figures
    docs/results/papers/<study>/<row>/<part>.npz     what was found above the decided threshold

Weights and checkpoints are no part of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictions import Predictions

from transfer_kit.engines.packages import packages_here
from transfer_kit.files import replacing

RECORDS = Path("docs/results/papers")


@dataclass(frozen=True)
class Records:
    """All records below `folder`."""

    folder: Path = RECORDS

    def has(self, study: str) -> bool:
        """Whether any training of `study` has left one."""
        return any((self.folder / study).glob("*/*.json"))

    def result(self, study: str, row: str, part: str) -> dict[str, Any] | None:
        """What the training gave; None before it ran."""
        path = self.folder / study / row / f"{part}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def predictions(self, study: str, row: str, part: str) -> Predictions:
        """What it found above its threshold in its test images."""
        return Predictions.read(self.folder / study / row / f"{part}.npz")

    def write(self, result: dict[str, Any], found: Predictions) -> None:
        """Keep what the training gave; the JSON file comes last and says that both are there."""
        own = self.folder / result["study"] / result["row"]
        found.above(result["threshold"]).write(own / f"{result['part']}.npz")
        with replacing(own / f"{result['part']}.json") as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Of the packages that figures depend on, here."""
    return packages_here()
