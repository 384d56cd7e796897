"""A queue that its own thread empties, so that a slow or dead server never holds a training."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from transfer_kit.process_lock import ProcessLock
from transfer_kit.tracking.faults import is_refusal, reason
from transfer_kit.tracking.operations import (
    MOST_AT_ONCE,
    ArtifactFile,
    DetectorFile,
    MetricValue,
    Operation,
    Start,
)
from transfer_kit.tracking.unsent_file import UnsentFile

log = logging.getLogger("transfer_kit.tracking")

LONGEST_PAUSE_SECONDS = 60.0
SLOW_SECONDS = 0.5
"""A store whose requests take longer as a rule is not waited for when a run has ended."""
PATIENCE_SECONDS = 5.0
"""How long such a store, or a request without an answer, still gets at the end."""


class Outbox:
    """Operations of one run on their way to MLflow.

    What cannot be sent stays in memory, is written to `file`, and is tried again; the file goes
    when all of it has arrived. What MLflow refuses for good stays in the file. While there is
    a file, a lock beside it tells other processes that this one looks after it.

    Args:
        send: Sends operations of one kind; raises where it cannot.
        start: How the run begins; the first line of `file`.
        file: `unsent.jsonl` of the run. What an earlier process left there is sent too.
        store: The address to name in the warning.
        seconds: The longest that an operation waits before it is sent.
        retry_seconds: Pause after a fault; doubles up to a minute.
        lock: Of `file`, where the caller has it already.
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
        lock: ProcessLock | None = None,
    ) -> None:
        self._send = send
        self._start = start
        self._file = UnsentFile(file, lock)
        self._store = store
        self._seconds = seconds
        self._retry_seconds = retry_seconds
        self._pending: deque[Operation] = deque()
        self._refused: list[Operation] = []
        self._warned: set[str] = set()
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._request_seconds: deque[float] = deque(maxlen=20)
        self._asked_at: float | None = None
        self._asks_for_little = False
        self._fault = ""
        self._tried = threading.Event()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow-outbox", daemon=True)

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def refused(self) -> list[Operation]:
        """What MLflow will never take."""
        return list(self._refused)

    @property
    def fault(self) -> str:
        """Why the last attempt failed, without passwords; empty where it did not."""
        return self._fault

    def open(self) -> None:
        """Take up what an earlier process left of this run, and begin to send."""
        self._take_up()
        self._wake.set()
        self._thread.start()

    def wait_for_attempt(self, timeout_seconds: float) -> None:
        """Wait until something was sent or could not be, but not longer than the timeout."""
        self._tried.wait(timeout_seconds)

    def send_all(self) -> None:
        """Send everything now, in this thread, however long it takes; for a run that has ended."""
        self._take_up()
        self._warned |= {"unsent", "refused"}  # the caller tells, by `refused` and `fault`
        try:
            self._deliver()
        finally:
            self._file.release()

    def _take_up(self) -> None:
        left = self._file.left_over(self._start())
        with self._guard:
            n_starts = int(bool(self._pending) and isinstance(self._pending[0], Start))
            waiting = list(self._pending)
            self._pending = deque([*waiting[:n_starts], *left, *waiting[n_starts:]])

    def put(self, operation: Operation) -> None:
        """Queue one operation; costs microseconds."""
        with self._guard:
            self._pending.append(operation)
        if len(self._pending) >= MOST_AT_ONCE[MetricValue]:
            self._wake.set()

    def close(
        self, timeout_seconds: float = 30.0, patience_seconds: float = PATIENCE_SECONDS
    ) -> bool:
        """Send what is left, else keep it in the file; whether all arrived.

        Args:
            timeout_seconds: How long to wait for what is left.
            patience_seconds: The same for a store that answers slowly or not at all.
        """
        self._closing.set()
        self._wake.set()
        limit = min(timeout_seconds, patience_seconds) if self._is_slow() else timeout_seconds
        deadline = time.monotonic() + limit
        try:
            while self._thread.is_alive() and time.monotonic() < deadline:
                self._thread.join(0.05)
                if self._is_stuck(patience_seconds):
                    break
            return not self._pending
        finally:
            # Also where Ctrl-C ends the wait.
            if self._pending:
                self._keep("it did not answer in time")
            if not self._thread.is_alive():
                self._file.release()

    def _is_slow(self) -> bool:
        seconds = list(self._request_seconds)
        return bool(self._fault) or (bool(seconds) and statistics.median(seconds) > SLOW_SECONDS)

    def _is_stuck(self, patience_seconds: float) -> bool:
        """Whether a small request has been without an answer for long."""
        asked_at = self._asked_at
        waits = asked_at is not None and time.monotonic() - asked_at > patience_seconds
        return waits and self._asks_for_little

    def _work(self) -> None:
        pause = self._seconds
        while True:
            # A full batch wakes the thread, but is no reason to ask a dead server again.
            (self._wake if pause == self._seconds else self._closing).wait(pause)
            self._wake.clear()
            last = self._closing.is_set()
            arrived = self._deliver()
            self._tried.set()
            if last:
                self._file.release()  # where `close` did not wait for this
                return
            longer = min(max(self._retry_seconds, 2 * pause), LONGEST_PAUSE_SECONDS)
            pause = self._seconds if arrived else longer

    def _deliver(self) -> bool:
        while batch := self._next_batch():
            try:
                self._deliver_batch(batch)
            except Exception as error:
                # Whatever goes wrong in tracking, the training goes on.
                self._fault = reason(error)
                self._keep(self._fault)
                return False
            with self._guard:
                for _ in batch:
                    self._pending.popleft()
            self._tried.set()
        self._fault = ""
        if self._file.path.exists():
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
            self._ask(batch)
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

    def _ask(self, batch: Sequence[Operation]) -> None:
        """Send, and note how long the store takes; files are no measure of that."""
        self._asks_for_little = not isinstance(batch[0], ArtifactFile | DetectorFile)
        self._asked_at = began = time.monotonic()
        try:
            self._send(batch)
            if self._asks_for_little:
                self._request_seconds.append(time.monotonic() - began)
        finally:
            self._asked_at = None

    def _refuse(self, batch: Sequence[Operation], why: str) -> None:
        self._refused.extend(batch)
        self._write()
        self._warn(
            "refused",
            f"The MLflow store {self._store} refused {type(batch[0]).__name__} ({why}); the "
            f"training goes on, and what was refused is kept in {self._file.path}.",
        )

    def _keep(self, why: str) -> None:
        self._write()
        self._warn(
            "unsent",
            f"The MLflow store {self._store} cannot be written to ({why}); the training goes on, "
            f"and what is unsent is kept in {self._file.path}: it is tried again, and "
            "`transfer-kit runs sync` sends it later.",
        )

    def _write(self) -> None:
        """The file holds exactly what has not arrived; there is none where all has."""
        with self._writing:
            with self._guard:
                kept = [*self._refused, *self._pending]
            try:
                self._file.write(kept, self._start)
            except Exception as error:
                self._warn(
                    "file", f"What MLflow did not take cannot be kept in a file either: {error}"
                )

    def _warn(self, about: str, sentence: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            log.warning(sentence)
