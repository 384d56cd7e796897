"""`--devices` and `--nodes`: the same command in several processes, one a device."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from transfer_kit.settings import TrainSettings

Devices = Annotated[
    int | None, typer.Option(min=1, help="GPUs of this machine that train together; 1 by default.")
]
Nodes = Annotated[
    int | None, typer.Option(min=1, help="Machines that do, each begun by srun or torchrun.")
]


def meet(devices: int | None, nodes: int | None, device: str, train: TrainSettings) -> str:
    """Begin as many processes as were asked for, or meet those that were begun; gives the device.

    A process that begins others waits for them, and then ends with their exit code.

    Raises:
        UserError: what was asked for does not fit what is there.
    """
    if devices is None and nodes is None and not _may_be_one_of_several():
        return device
    from transfer_kit.training import processes
    from transfer_kit.training.launch import group, launch, refuse_misfit, refuse_uneven

    began = group()
    if began is None and (devices or 1) * (nodes or 1) == 1:
        return device
    refuse_misfit(began, devices, nodes, device)
    refuse_uneven(train, began.n_processes if began else devices or 1)
    if began is None:
        raise typer.Exit(launch(devices or 1, sys.argv[1:]))
    import torch

    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(began.own_device)
    processes.join(began.environment)
    return began.own_device if on_gpu else "cpu"


@contextmanager
def following() -> Iterator[None]:
    """What a process does that takes part in another's run: it says nothing when it is stopped."""
    from transfer_kit.training import processes

    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    processes.leave()


def was_told() -> bool:
    """Whether the process that began this one has said what will be done."""
    return "TRANSFER_KIT_LAUNCHED" in os.environ


def _may_be_one_of_several() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_STEP_ID" in os.environ
