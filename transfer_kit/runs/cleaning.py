"""What only an interrupted training needs, in runs that have ended."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_kit.run_folder import CHECKPOINTS, METRICS
from transfer_kit.runs.finding import FINISHED, FoundRun


@dataclass(frozen=True)
class Leftover:
    """A folder of checkpoints that nothing will go on from."""

    folder: Path
    n_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"folder": str(self.folder), "n_bytes": self.n_bytes}


def leftovers(runs: Iterable[FoundRun]) -> list[Leftover]:
    """The checkpoints of finished runs, and of their trainings from scratch; nothing else."""
    found = []
    for run in runs:
        if run.state != FINISHED:
            continue
        for trained in (run.folder, run.folder / "scratch"):
            folder = trained / CHECKPOINTS
            if (trained / METRICS).is_file() and folder.is_dir() and not folder.is_symlink():
                found.append(Leftover(folder, _size(folder)))
    return found


def remove(leftover: Leftover) -> None:
    """Remove it for good."""
    shutil.rmtree(leftover.folder)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
