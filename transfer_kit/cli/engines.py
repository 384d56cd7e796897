"""`--engine` and `--engine-set`: where studies and sweeps are carried out."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

Engine = Annotated[
    str, typer.Option(help="local, ray (a cluster that runs) or slurm (a job a trial).")
]
EngineSet = Annotated[
    list[str] | None,
    typer.Option(help="An option of ray or slurm: gpus=1, address=head:6379, partition=gpu."),
]


def words_of(engine: str, settings: list[str] | None) -> str:
    """The two as they are typed, behind a command; nothing where all is local."""
    if engine == "local":
        return ""
    words = ["--engine", engine]
    words += [word for setting in settings or () for word in ("--engine-set", setting)]
    return " " + shlex.join(words)
