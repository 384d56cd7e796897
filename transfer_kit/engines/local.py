"""Tasks spread over processes of one thread each; one that fails or dies does not stop the rest."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from transfer_kit.engines.gpus import VISIBLE, gpu_of_worker, visible_gpus
from transfer_kit.engines.outcome import Outcome, attempt

T = TypeVar("T")

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SPAWN = get_context("spawn")  # a fork after torch has begun its threads would hang


def run_all(
    tasks: Sequence[T], work: Callable[[T], None], *, workers: int, log: Path
) -> Iterator[Outcome[T]]:
    """Do `work` on each task in one of several processes; gives each outcome as it comes.

    Sums depend on the number of threads in their last bit: with one thread a process, the same
    comes out however many processes there are. Of several GPUs each process sees one, by turns.
    Leaving the iterator ends the processes.

    Args:
        tasks: In the order in which they are begun.
        work: A function that another process can import.
        workers: Processes at a time, at least one.
        log: File to which they add what they print.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    waiting, idle, busy = deque(tasks), list[_Worker[T]](), dict[Connection, _Worker[T]]()
    numbers, gpus = deque(range(workers)), visible_gpus()
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = idle.pop() if idle else _Worker(work, log, numbers.popleft(), gpus)
                worker.begin(waiting.popleft())
                busy[worker.pipe] = worker
            for pipe in wait(list(busy)):
                worker = next(each for own, each in busy.items() if own is pipe)
                del busy[worker.pipe]
                outcome = worker.end()
                if worker.lives:
                    idle.append(worker)
                else:
                    numbers.append(worker.number)
                yield outcome
    finally:
        for worker in (*idle, *busy.values()):
            worker.stop()


class _Worker(Generic[T]):
    """A process that does one task after the other."""

    def __init__(
        self, work: Callable[[T], None], log: Path, number: int, gpus: tuple[str, ...]
    ) -> None:
        self.pipe, other = SPAWN.Pipe()
        self.lives = True
        self.number = number
        self._task: T | None = None
        self._process = SPAWN.Process(target=_serve, args=(other, work, log), daemon=False)
        with _environment(gpu_of_worker(number, gpus)):
            self._process.start()
        other.close()

    def begin(self, task: T) -> None:
        self._task = task
        try:
            self.pipe.send(task)
        except OSError:
            return  # it died; `end` will tell

    def end(self) -> Outcome[T]:
        task = self._task
        assert task is not None  # noqa: S101 - for the type checker
        try:
            return Outcome(task, self.pipe.recv())
        except (EOFError, OSError):
            self.lives = False
            self._process.join(timeout=10)  # so that its own exit code is told, not that of `stop`
            self.stop()
            return Outcome(task, _how_it_died(self._process.exitcode))

    def stop(self) -> None:
        """Training folders and measurements are whole or not there, so nothing is lost."""
        self.pipe.close()
        self._process.kill()
        self._process.join()


@contextmanager
def _environment(gpu: str | None) -> Iterator[None]:
    """What a process is born with, since libraries read it when they are imported: one thread."""
    told = dict.fromkeys(_THREADS, "1") | ({} if gpu is None else {VISIBLE: gpu})
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, work: Callable[[Any], None], log: Path) -> None:
    """In the other process: tasks come, sentences go, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's affair
    with log.open("a", encoding="utf-8") as file:
        for stream in (1, 2):  # also what libraries that are not Python print
            os.dup2(file.fileno(), stream)
    import cv2  # which reads no variable of the environment

    cv2.setNumThreads(1)
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(attempt(task, work))


def _how_it_died(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return (
            f"its process was ended by {name} (is the memory enough? try fewer --workers); what it "
            "trained so far is kept."
        )
    return f"its process ended with code {exit_code}; what it trained so far is kept."
