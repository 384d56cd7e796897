"""Options that runs, studies, sweeps and their comparison share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfer_kit.sweeps.place import VARIABLE

RUNS, STUDIES = Path("runs"), Path(".work/studies")

Json = Annotated[bool, typer.Option("--json", help="The same for programs.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A field of every trial, target=my-eye; of a study's axis its values, seed=[0,1].",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        help="URL of a database for many machines, as postgresql://user@host/name; never "
        f"written down, so say it again or set {VARIABLE}."
    ),
]
SweepFolders = Annotated[Path, typer.Option("--sweeps", help="Where the folders of sweeps are.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes, of one thread each.")]
