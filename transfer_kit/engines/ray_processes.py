"""Processes of a Ray cluster, each of which does one task after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from transfer_kit.engines.outcome import Outcome, attempt
from transfer_kit.engines.shipping import bring_home, changed_files, is_shared

T = TypeVar("T")


class CarriesOut(Generic[T]):
    """On some machine of the cluster; what it imports and loads for a task serves the next."""

    def __init__(self, work: Callable[[T], None], home: Path, mark: str) -> None:
        import cv2

        cv2.setNumThreads(1)
        self._work = work
        self._home = home
        self._shared = is_shared(home, mark)

    def is_there(self) -> None:
        """Answers as soon as the cluster had room for the process."""

    def carry_out(self, task: T) -> tuple[str, dict[str, bytes]]:
        """The error, or "", and what the task wrote, where that is not seen from home."""
        if self._shared:
            return attempt(task, self._work), {}
        self._home.mkdir(parents=True, exist_ok=True)
        before = changed_files(self._home, {})
        error = attempt(task, self._work)
        changed = changed_files(self._home, before)
        return error, {name: (self._home / name).read_bytes() for name in changed}


def carried_out(
    ray: Any,
    start: Callable[[], Any],
    tasks: Sequence[T],
    *,
    workers: int,
    tries: int,
    home: Path,
) -> Generator[Outcome[T], None, None]:
    """Each outcome as it comes; leaving the iterator ends the processes.

    Args:
        ray: The module, connected to a cluster.
        start: Asks the cluster for a process, an actor of `CarriesOut`.
        tasks: In the order in which they are begun, but those of lost processes before the others.
        workers: Processes at a time.
        tries: Losses after which a task counts as failed.
        home: The folder into which files are brought.
    """
    crew = _Crew(ray, start, tasks, tries)
    try:
        while crew.has_work:
            crew.hand_out(workers)
            if (ended := crew.next_ended()) is not None:
                outcome, files = ended
                bring_home(files, home)
                yield outcome
    finally:
        crew.dismiss()


@dataclass(frozen=True)
class _Turn(Generic[T]):
    """A task whose processes were lost so many times, and the process that it has now."""

    task: T
    losses: int = 0
    process: Any = None


_Ended = tuple[Outcome[T], Mapping[str, bytes]]


class _Crew(Generic[T]):
    """The processes of one call: free, at a task, or still to be begun by the cluster.

    A process is given a task when it is there, so that no task waits for room in the cluster while
    another process could do it.
    """

    def __init__(self, ray: Any, start: Callable[[], Any], tasks: Sequence[T], tries: int) -> None:
        self._ray = ray
        self._start = start
        self._tries = tries
        self._waiting = deque(_Turn(task) for task in tasks)
        self._free: list[Any] = []
        self._busy: dict[Any, _Turn[T]] = {}
        self._coming: dict[Any, Any] = {}

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._busy)

    def hand_out(self, workers: int) -> None:
        """Tasks to who is free, and ask for so many processes in all, or as few as have a task."""
        while self._waiting and self._free:
            self._begin(self._waiting.popleft(), self._free.pop())
        while self._free:
            self._ray.kill(self._free.pop())
        wanted = min(workers - len(self._busy), len(self._waiting))
        while len(self._coming) < wanted:
            process = self._start()
            self._coming[process.is_there.remote()] = process
        while len(self._coming) > wanted:
            self._ray.kill(self._coming.popitem()[1])

    def next_ended(self) -> _Ended[T] | None:
        """Wait until something happens; None where no task ended by it."""
        (reference,), _ = self._ray.wait([*self._busy, *self._coming], num_returns=1)
        process = self._coming.pop(reference, None)
        turn = self._waiting.popleft() if process is not None else self._busy.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(process or turn.process)
            return self._lost(turn, error)
        if process is not None:
            self._begin(turn, process)
            return None
        self._free.append(turn.process)
        said, files = answer
        return Outcome(turn.task, said), files

    def dismiss(self) -> None:
        """End all of them."""
        busy = (turn.process for turn in self._busy.values())
        for process in (*self._free, *busy, *self._coming.values()):
            self._ray.kill(process)

    def _begin(self, turn: _Turn[T], process: Any) -> None:
        reference = process.carry_out.remote(turn.task)
        self._busy[reference] = replace(turn, process=process)

    def _lost(self, turn: _Turn[T], error: Exception) -> _Ended[T] | None:
        # A task that another machine cannot so much as read is no better read a second time.
        unreadable = isinstance(error, self._ray.exceptions.RayTaskError)
        if unreadable or turn.losses == self._tries:
            return Outcome(turn.task, _why_lost(error)), {}
        self._waiting.appendleft(replace(turn, losses=turn.losses + 1))
        return None


def _why_lost(error: Exception) -> str:
    first = str(error).strip().splitlines()
    return (
        f"its machine or process was lost ({first[0][:200] if first else type(error).__name__}); "
        "run the command again to try it again."
    )
