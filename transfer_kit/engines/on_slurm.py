"""Tasks as jobs of a Slurm cluster, on a file system that it shares with this machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from transfer_kit.engines.options import SlurmOptions
from transfer_kit.engines.outcome import Outcome, attempt, note
from transfer_kit.errors import UserError

T = TypeVar("T")


def run_on_slurm(
    tasks: Sequence[T],
    work: Callable[[T], None],
    *,
    workers: int,
    log: Path,
    options: SlurmOptions,
    home: Path,
) -> Iterator[Outcome[T]]:
    """Do `work` on each task in a job of its own; gives each outcome as it comes.

    They are an array of jobs, of which `workers` run at a time, or several, one after the other,
    where they are more than Slurm takes in one. Leaving the iterator cancels what has not ended.

    Args:
        tasks: In the order in which they are submitted.
        work: A function that can be imported where the jobs run.
        workers: Jobs at a time.
        log: Added to where a task failed; what jobs print is in `home/slurm`.
        options: What each job gets.
        home: The absolute folder that `work` writes to, on the file system that all share.

    Raises:
        UserError: submitit is not installed, this machine submits no jobs, Slurm refuses them, or
            an array is to hold no task.
    """
    if options.array < 1:
        raise UserError("--engine-set array=0 submits nothing; give 1 or more.")
    executor = _executor(options, home / "slurm", workers)
    for start in range(0, len(tasks), options.array):
        yield from _run_array(executor, tasks[start : start + options.array], work, log, options)


def _run_array(
    executor: Any,
    tasks: Sequence[T],
    work: Callable[[T], None],
    log: Path,
    options: SlurmOptions,
) -> Iterator[Outcome[T]]:
    try:
        jobs = executor.map_array(partial(attempt, work=work), tasks)
    except Exception as error:
        if "submission" not in type(error).__name__.lower() and "sbatch" not in str(error):
            raise
        said = " ".join(str(error).split())[:300]
        raise UserError(f"Slurm refused the jobs ({said}); mend it with --engine-set.") from None
    left = dict(zip(jobs, tasks, strict=True))
    try:
        while left:
            for job in [job for job in left if job.done()]:
                outcome = Outcome(left.pop(job), _error_of(job, options))
                note(outcome, log)
                yield outcome
            if left:
                time.sleep(options.look_every)
    finally:
        for job in left:
            job.cancel()


def _error_of(job: Any, options: SlurmOptions) -> str:
    raised = job.exception()
    if raised is None:
        return str(job.result())
    if job.state.upper().startswith("TIMEOUT"):
        return (
            f"it took longer than {options.minutes} minutes; run the command again to go on, or "
            "give more with --engine-set minutes=…"
        )
    said = str(raised).strip().splitlines()
    return (
        f"its job {job.job_id} ended as {job.state.lower()} "
        f"({said[0][:200] if said else 'silent'}); what it printed is in {job.paths.stderr}."
    )


def _executor(options: SlurmOptions, folder: Path, workers: int) -> Any:
    try:
        import submitit
    except ImportError:
        raise UserError(
            "submitit is not installed; install it with pip install 'transfer-kit[slurm]'."
        ) from None
    if shutil.which("sbatch") is None:
        raise UserError(
            "This machine cannot submit jobs to Slurm (there is no sbatch); call it on a login "
            "node of the cluster."
        )
    executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
    wanted: dict[str, Any] = {
        "name": "transfer-kit",
        "timeout_min": options.minutes,
        "cpus_per_task": options.cpus,
        "slurm_array_parallelism": workers,
        "slurm_partition": options.partition,
        "slurm_account": options.account,
        "mem_gb": options.memory_gb,
        "gpus_per_node": options.gpus or None,
    }
    executor.update_parameters(**{name: value for name, value in wanted.items() if value})
    return executor
