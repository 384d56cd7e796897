"""The processes that train together, one a device: which one this is, and what they tell.

Alone, a process is the leader of one. All but the leader only take steps: it alone judges, writes,
prints and tracks.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments import ClusterEnvironment
from torch import Tensor

T = TypeVar("T")

PATIENCE = datetime.timedelta(hours=12)
"""What the others wait for the leader, which measures the base before the first step."""


def join(environment: ClusterEnvironment) -> None:
    """Meet the other processes that torchrun or Slurm began; comes back when all are there."""
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        init_method=f"tcp://{environment.main_address}:{environment.main_port}",
        rank=environment.global_rank(),
        world_size=environment.world_size(),
        timeout=PATIENCE,
    )


def leave() -> None:
    """Go alone again, where others were met."""
    if _together():
        dist.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _together() else 1


def rank() -> int:
    """Which of them this is, from 0, the leader."""
    return dist.get_rank() if _together() else 0


def leads() -> bool:
    """Whether this process is the leader."""
    return rank() == 0


def from_leader(make: Callable[[], T]) -> T:
    """What the leader makes, which it alone does, for all."""
    if not _together():
        return make()
    box = [make() if leads() else None]
    dist.broadcast_object_list(box, src=0)
    return cast(T, box[0])


def mean(value: float) -> float:
    """The mean of each process's value, for all."""
    if not _together():
        return value
    total = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(total)
    return float(total) / count()


def summed(values: Tensor) -> Tensor:
    """The sum of each process's values, for all."""
    if not _together():
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def all_agree(is_so: bool) -> bool:
    """Whether it is so in every process."""
    return mean(float(is_so)) == 1.0


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
