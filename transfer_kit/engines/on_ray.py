"""Tasks on a Ray cluster that runs already."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from transfer_kit.engines.options import RayOptions
from transfer_kit.engines.outcome import Outcome, note
from transfer_kit.engines.packages import differing_packages, packages_here
from transfer_kit.engines.ray_output import all_apart, ray_apart
from transfer_kit.engines.ray_processes import CarriesOut, carried_out
from transfer_kit.engines.shipping import leave_mark
from transfer_kit.errors import UserError

T = TypeVar("T")

_NO_CLUSTER = (
    "There is no Ray cluster at {address}; start one with `ray start --head`, or say where it is "
    "with --engine-set address=host:6379."
)


def run_on_ray(
    tasks: Sequence[T],
    work: Callable[[T], None],
    *,
    workers: int,
    log: Path,
    options: RayOptions,
    home: Path,
) -> Iterator[Outcome[T]]:
    """Do `work` on each task somewhere in a Ray cluster; gives each outcome as it comes.

    As on one machine, a process does one task after the other. A task whose machine is lost begins
    again on another. Where `home` is no folder that the machine shares, what the task wrote below
    it is brought here. Leaving the iterator ends what runs.

    Args:
        tasks: In the order in which they are begun.
        work: A function that the other machines can import.
        workers: Processes, each with a task at a time.
        log: Added to where a task failed; what tasks print is in Ray's own logs.
        options: The cluster's address, and what of it a process gets.
        home: The absolute folder that `work` writes to.

    Raises:
        UserError: Ray is not installed, the cluster does not answer, or its machines have other
            versions of what this one computes with.
    """
    with ray_apart():
        ray = _connected(options)
        try:
            _refuse_other_versions(ray)
            gpus = options.gpus
            if gpus is None:
                gpus = float(ray.cluster_resources().get("GPU", 0) > 0)
            process = ray.remote(num_cpus=options.cpus, num_gpus=gpus)(CarriesOut)
            start = partial(process.remote, work, home, leave_mark(home))
            outcomes = carried_out(
                ray, start, tasks, workers=workers, tries=options.tries, home=home
            )
            with closing(outcomes):  # before the connection is
                for outcome in outcomes:
                    note(outcome, log)
                    yield outcome
        finally:
            with all_apart():
                ray.shutdown()


def _connected(options: RayOptions) -> Any:
    try:
        import ray
    except ImportError:
        raise UserError(
            "Ray is not installed; install it with pip install 'transfer-kit[ray]'."
        ) from None
    if not _answers(options.address):
        raise UserError(_NO_CLUSTER.format(address=options.address))
    try:
        ray.init(
            address=options.address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            include_dashboard=False,
        )
    except ConnectionError:
        raise UserError(_NO_CLUSTER.format(address=options.address)) from None
    except RuntimeError as error:
        if "ersion mismatch" not in str(error):
            raise
        first = " ".join(str(error).split())
        raise UserError(
            f"The Ray cluster at {options.address} has other versions than this machine "
            f"({first[:200]}); install the same on both."
        ) from None
    return ray


def _answers(address: str) -> bool:
    """Whether somebody listens there; Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return True  # auto, or a name that Ray knows
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError:
        return False
    return True


def _refuse_other_versions(ray: Any) -> None:
    """Ask every machine what it has; figures of other versions cannot be compared."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0)(packages_here)
    asked = {
        node["NodeManagerHostname"]: ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in ray.nodes()
        if node["Alive"]
    }
    for host, reference in asked.items():
        try:
            there = ray.get(reference)
        except ray.exceptions.RayTaskError:
            there = {}
        if apart := differing_packages(there):
            raise UserError(
                f"The machine {host} of the Ray cluster has other packages than this one "
                f"({', '.join(apart)}); install the same on both."
            )
