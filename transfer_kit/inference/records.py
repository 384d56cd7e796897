"""What became of each slide: done, failed with its reason, or, without a record, not begun."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transfer_kit.errors import UserError
from transfer_kit.files import replacing

FOLDER = "records"
"""Of the records, inside the folder that nuclei are written to."""


@dataclass(frozen=True)
class Record:
    """One slide, searched or not.

    Attributes:
        slide: Its path, as it was given.
        reason: Why it failed; empty where it is done.
        model: Name of the detector.
        made_by: All that the result depends on, as plain JSON; of another slide, model or setting
            the result does not count.
        nuclei: How many were found.
        mpp: µm per pixel of level 0.
        searched_mm2: Area that was searched.
        seconds: That it took, without those before an interruption.
        files: Names of what was written.
        note: What should be known of it, such as that no tissue was seen.
    """

    slide: str
    reason: str = ""
    model: str = ""
    made_by: dict[str, Any] = field(default_factory=dict)
    nuclei: int | None = None
    mpp: float | None = None
    searched_mm2: float | None = None
    seconds: float | None = None
    files: tuple[str, ...] = ()
    note: str = ""


def write_record(output: Path, name: str, record: Record) -> None:
    """Write a slide's record into an output folder.

    Raises:
        UserError: no space is left, or the folder cannot be written.
    """
    with replacing(output / FOLDER / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")


def read_record(output: Path, name: str) -> Record | None:
    """A slide's record; None where it was not begun, or the record cannot be read."""
    path = output / FOLDER / f"{name}.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Record(**{**fields, "files": tuple(fields["files"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def refuse_other_model(output: Path, name: str, model: str, weights: str) -> None:
    """Keep one model's nuclei from being written over another's.

    Args:
        output: The folder that nuclei are written to.
        name: Of the slide.
        model: The detector's name.
        weights: Its hash, as in `Record.made_by`.

    Raises:
        UserError: the folder holds what another model found in this slide.
    """
    before = read_record(output, name)
    if before is None or not before.made_by or before.made_by.get("weights") == weights:
        return
    raise UserError(
        f"{output} holds what {before.model or 'another model'} found in {name}, not {model}; give "
        "another folder, or --overwrite."
    )
