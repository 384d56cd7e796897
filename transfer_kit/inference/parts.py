"""What is found in the blocks of a slide, kept on disk until all of them are done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import shapely

from transfer_kit.data.tiles import Window
from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei

_PLAN = "plan.json"


@dataclass(frozen=True)
class Parts:
    """A folder with a file for each block that is done.

    Attributes:
        folder: Which is gone when the slide is done.
        classes: Of the detector.
    """

    folder: Path
    classes: tuple[str, ...]

    @classmethod
    def begun(cls, folder: Path, plan: Mapping[str, Any], classes: tuple[str, ...]) -> Parts:
        """What was done before by the same plan; by another plan nothing counts.

        Args:
            folder: Made where there is none.
            plan: All that a block's nuclei depend on, as plain JSON.
            classes: Of the detector.
        """
        before = _read_plan(folder / _PLAN)
        if before is not None and before != json.loads(json.dumps(plan)):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / _PLAN) as temporary:
            temporary.write_text(json.dumps(plan), encoding="utf-8")
        return cls(folder, classes)

    def has(self, block: Window) -> bool:
        """Whether a block is done."""
        return self._path(block).is_file()

    def keep(self, block: Window, found: FoundNuclei) -> None:
        """Write down what was found in a block.

        Raises:
            UserError: no space is left.
        """
        columns: dict[str, Any] = {
            "x": found.points[:, 0],
            "y": found.points[:, 1],
            "score": found.scores,
            "kind": found.kinds,
        }
        if found.outlines is not None:
            columns["outline"] = pa.array(shapely.to_wkb(found.outlines), pa.binary())
        with replacing(self._path(block)) as temporary:
            parquet.write_table(pa.table(columns), temporary, compression="zstd")

    def read(self, block: Window) -> FoundNuclei:
        """What was found in a block that is done."""
        table = parquet.read_table(self._path(block))
        points = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
        outlines = None
        if "outline" in table.column_names:
            outlines = shapely.from_wkb(table["outline"].to_numpy(zero_copy_only=False))
        return FoundNuclei(
            points, table["score"].to_numpy(), table["kind"].to_numpy(), self.classes, outlines
        )

    def keep_survey(self, counts: np.ndarray[Any, Any]) -> None:
        """Write down what was surveyed of the whole slide."""
        with replacing(self.folder / "survey.json") as temporary:
            temporary.write_text(json.dumps(counts.tolist()), encoding="utf-8")

    def survey(self) -> np.ndarray[Any, Any] | None:
        """What `keep_survey` wrote."""
        path = self.folder / "survey.json"
        return np.array(json.loads(path.read_text())) if path.is_file() else None

    def remove_if_empty(self) -> None:
        """Delete the folder where no block is done."""
        if next(self.folder.glob("*.parquet"), None) is None:
            self.remove()

    def remove(self) -> None:
        """Delete the folder, and the one that it is in where no other slide's is."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            self.folder.parent.rmdir()

    def _path(self, block: Window) -> Path:
        return self.folder / f"y{block.y0:07d}x{block.x0:07d}.parquet"


def _read_plan(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
