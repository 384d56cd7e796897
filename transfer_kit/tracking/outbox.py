"""A queue that its own thread empties, so that a slow or dead server never holds a training."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from transfer_kit.files import replacing
from transfer_kit.tracking.faults import is_refusal, reason
from transfer_kit.tracking.operations import (
    MOST_AT_ONCE,
    MetricValue,
    Operation,
    Start,
    read_lines,
    to_line,
)

log = logging.getLogger("transfer_kit.tracking")

LONGEST_PAUSE_SECONDS = 60.0


class Outbox:
    """Operations of one run on their way to MLflow.

    What cannot be sent stays in memory, is written to `file`, and is tried again; the file goes
    when all of it has arrived. What MLflow refuses for good stays in the file.

    Args:
        send: Sends operations of one kind; raises where it cannot.
        start: How the run begins; the first line of `file`.
        file: `unsent.jsonl` of the run. What an earlier process left there is sent too.
        store: The address to name in the warning.
        seconds: The longest that an operation waits before it is sent.
        retry_seconds: Pause after a fault; doubles up to a minute.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Operation]], None],
        start: Callable[[], Start],
        file: Path,
        *,
        store: str,
        seconds: float = 2.0,
        retry_seconds: float = 5.0,
    ) -> None:
        self._send = send
        self._start = start
        self._file = file
        self._store = store
        self._seconds = seconds
        self._retry_seconds = retry_seconds
        self._pending: deque[Operation] = deque()
        self._refused: list[Operation] = []
        self._warned: set[str] = set()
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow-outbox", daemon=True)

    def __len__(self) -> int:
        return len(self._pending)

    def open(self) -> None:
        """Take up what an earlier process left of this run, and begin to send."""
        left = self._left_over() if self._file.exists() else []
        with self._guard:
            n_starts = int(bool(self._pending) and isinstance(self._pending[0], Start))
            waiting = list(self._pending)
            self._pending = deque([*waiting[:n_starts], *left, *waiting[n_starts:]])
        self._thread.start()

    def _left_over(self) -> list[Operation]:
        operations = read_lines(self._file)
        runs = {each.run_id for each in operations if isinstance(each, Start)}
        if runs - {"", self._start().run_id}:  # of another run: kept, not sent as this one's
            self._file.replace(self._file.with_name(f"{self._file.stem}-{max(runs)}.jsonl"))
            return []
        return [each for each in operations if not isinstance(each, Start)]

    def put(self, operation: Operation) -> None:
        """Queue one operation; costs microseconds."""
        with self._guard:
            self._pending.append(operation)
        if len(self._pending) >= MOST_AT_ONCE[MetricValue]:
            self._wake.set()

    def close(self, timeout_seconds: float = 30.0) -> bool:
        """Send what is left, else keep it in the file; whether all arrived."""
        self._closing.set()
        self._wake.set()
        try:
            self._thread.join(timeout_seconds)
            return not self._pending
        finally:
            # Also where Ctrl-C ends the wait.
            if self._pending:
                self._keep("it did not answer in time")

    def _work(self) -> None:
        pause = self._seconds
        while True:
            # A full batch wakes the thread, but is no reason to ask a dead server again.
            (self._wake if pause == self._seconds else self._closing).wait(pause)
            self._wake.clear()
            last = self._closing.is_set()
            arrived = self._deliver()
            if last:
                return
            longer = min(max(self._retry_seconds, 2 * pause), LONGEST_PAUSE_SECONDS)
            pause = self._seconds if arrived else longer

    def _deliver(self) -> bool:
        while batch := self._next_batch():
            try:
                self._deliver_batch(batch)
            except Exception as error:
                # Whatever goes wrong in tracking, the training goes on.
                self._keep(reason(error))
                return False
            with self._guard:
                for _ in batch:
                    self._pending.popleft()
        if self._file.exists():
            self._write()
        return True

    def _next_batch(self) -> list[Operation]:
        with self._guard:
            if not self._pending:
                return []
            kind = type(self._pending[0])
            batch = list(islice(self._pending, MOST_AT_ONCE.get(kind, 1)))
        for n, operation in enumerate(batch):
            if type(operation) is not kind:
                return batch[:n]
        return batch

    def _deliver_batch(self, batch: Sequence[Operation]) -> None:
        try:
            self._send(batch)
        except Exception as error:
            # Without its start no record of a run can be sent: it is kept until that succeeds.
            if isinstance(batch[0], Start) or not is_refusal(error):
                raise
            # Metrics are checked before they are queued: a refusal is of the run, not of one.
            if len(batch) > 1 and not isinstance(batch[0], MetricValue):
                self._deliver_batch(batch[: len(batch) // 2])
                self._deliver_batch(batch[len(batch) // 2 :])
            else:
                self._refuse(batch, reason(error))

    def _refuse(self, batch: Sequence[Operation], why: str) -> None:
        self._refused.extend(batch)
        self._write()
        self._warn(
            "refused",
            f"The MLflow store {self._store} refused {type(batch[0]).__name__} ({why}); the "
            f"training goes on, and what was refused is kept in {self._file}.",
        )

    def _keep(self, why: str) -> None:
        self._write()
        self._warn(
            "unsent",
            f"The MLflow store {self._store} cannot be written to ({why}); the training goes on, "
            f"and what is unsent is kept in {self._file}: it is tried again, and "
            "`transfer-kit ui --send-unsent` sends it later.",
        )

    def _write(self) -> None:
        """The file holds exactly what has not arrived; there is none where all has."""
        with self._guard:
            kept = [*self._refused, *self._pending]
        try:
            if not kept:
                self._file.unlink(missing_ok=True)
                return
            first = [] if isinstance(kept[0], Start) else [self._start()]
            with replacing(self._file) as temporary:
                text = "".join(f"{to_line(operation)}\n" for operation in [*first, *kept])
                temporary.write_text(text, encoding="utf-8")
        except Exception as error:
            self._warn("file", f"What MLflow did not take cannot be kept in a file either: {error}")

    def _warn(self, about: str, sentence: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            log.warning(sentence)
