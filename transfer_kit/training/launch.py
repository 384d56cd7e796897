"""How several processes begin: by torchrun, by Slurm, or by this one, which then waits for them."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass

import torch
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from transfer_kit.errors import UserError
from transfer_kit.settings import TrainSettings
from transfer_kit.wording import counted

BY_US = "TRANSFER_KIT_LAUNCHED"
"""In the environment of processes that `launch` began."""


@dataclass(frozen=True)
class Group:
    """Processes that something else began, of which this is one.

    Attributes:
        environment: Which one it is, and where they meet.
        n_processes: On all nodes.
        n_nodes: With as many processes each.
    """

    environment: ClusterEnvironment
    n_processes: int
    n_nodes: int

    @property
    def own_device(self) -> str:
        """The GPU of this process, where there is one."""
        return f"cuda:{self.environment.local_rank()}"


def group() -> Group | None:
    """The processes that torchrun, or Slurm's srun, began; None where this one is alone.

    Raises:
        UserError: srun was told the number of all tasks, and not of those of a machine.
    """
    if TorchElasticEnvironment.detect():
        met = TorchElasticEnvironment()
        n = met.world_size()
        return Group(met, n, n // int(os.environ["LOCAL_WORLD_SIZE"])) if n > 1 else None
    # A batch script without srun has the tasks' number in its environment, too, but no step.
    if "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        if "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise UserError(
                "Slurm began several tasks, but how many on each machine is not known; give srun "
                "--ntasks-per-node in place of --ntasks."
            )
        slurm = SLURMEnvironment(auto_requeue=False)
        return Group(slurm, slurm.world_size(), int(os.environ.get("SLURM_NNODES", "1")))
    return None


def refuse_misfit(began: Group | None, devices: int | None, nodes: int | None, kind: str) -> None:
    """Refuse devices that are not there, and numbers that do not fit what began.

    Args:
        began: From `group`.
        devices: Of each machine, as asked for.
        nodes: Machines, as asked for.
        kind: `auto`, `cpu` or `cuda`.

    Raises:
        UserError: with what to type instead.
    """
    wanted = (devices or 1) * (nodes or 1)
    if began is None:
        if (nodes or 1) > 1:
            raise UserError(
                f"--nodes {nodes}: another machine's processes must be begun there; start the "
                f"command with `srun --nodes={nodes} --ntasks-per-node={devices or 1}` or torchrun."
            )
    elif (devices or nodes) and wanted != began.n_processes:
        raise UserError(
            f"{counted(began.n_processes, 'process')} were begun, but --devices and "
            f"--nodes say {wanted}; begin as many, or leave both out."
        )
    if kind not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {kind} is a single device; choose auto, cpu or cuda.")
    here, there_are = devices or 1, torch.cuda.device_count()
    if kind != "cpu" and began is None and here > max(1, there_are):
        raise UserError(
            f"--devices {here}: this machine has {counted(there_are, 'GPU')}; ask for fewer, or "
            f"for processes on the CPU with --device cpu."
        )


def refuse_uneven(train: TrainSettings, n_processes: int) -> None:
    """Refuse a step whose crops cannot be dealt out evenly.

    Raises:
        UserError: with what divides.
    """
    least = n_processes * train.accumulate
    if train.batch_size % least:
        parts = f" in {train.accumulate} parts each" if train.accumulate > 1 else ""
        raise UserError(
            f"train.batch_size: {train.batch_size} crops a step cannot be dealt out evenly to "
            f"{n_processes} devices{parts}; choose a multiple of {least}."
        )


def launch(devices: int, arguments: list[str]) -> int:
    """Run transfer-kit in as many processes, one a device, and wait; gives the exit code.

    Where one fails, the others are ended. What the user should know, they have said.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ[BY_US] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id="transfer-kit",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "transfer_kit", *arguments)
    except ChildFailedError as error:
        return int(error.get_first_failure()[1].exitcode) or 1
    except (SignalException, KeyboardInterrupt):
        return 130
    return 0
