"""The file of what a run could not send, and the lock that says which process looks after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from transfer_kit.files import replacing
from transfer_kit.process_lock import ProcessLock
from transfer_kit.tracking.operations import Operation, Start, read_lines, to_line


class UnsentFile:
    """`unsent.jsonl` of a run: its first line says how the run begins, the others what is unsent.

    Args:
        path: Of the file, there or not.
        lock: Of it, where the caller has it already.

    Attributes:
        path: Another one where some other process was sending the file when it was wanted.
    """

    def __init__(self, path: Path, lock: ProcessLock | None = None) -> None:
        self.path = path
        self._lock = lock or unsent_lock(path)

    def left_over(self, own: Start) -> list[Operation]:
        """What an earlier process of the same run could not send; another run's is set aside."""
        if not (self.path.exists() and self._take()):
            return []
        operations = read_lines(self.path)
        others = [
            each for each in operations if isinstance(each, Start) and not _same_run(each, own)
        ]
        if others:  # kept, not sent as this one's
            name = f"{self.path.stem}-{others[0].run_id or others[0].key}.jsonl"
            self.path.replace(self.path.with_name(name))
            return []
        return [each for each in operations if not isinstance(each, Start)]

    def write(self, kept: Sequence[Operation], start: Callable[[], Start]) -> None:
        """Make the file hold exactly this; there is none of nothing."""
        if not kept:
            self.path.unlink(missing_ok=True)
            return
        self._take()
        first = [] if isinstance(kept[0], Start) else [start()]
        with replacing(self.path) as temporary:
            text = "".join(f"{to_line(operation)}\n" for operation in [*first, *kept])
            temporary.write_text(text, encoding="utf-8")

    def release(self) -> None:
        """Leave the file to whoever wants to send it."""
        self._lock.release()

    def _take(self) -> bool:
        """Make the file ours; where another process is sending it just now, take another one."""
        if self._lock.acquire():
            return True
        self.path = self.path.with_name(f"{self.path.stem}-{os.getpid()}.jsonl")
        self._lock = unsent_lock(self.path)
        self._lock.acquire()
        return False


def unsent_lock(file: Path) -> ProcessLock:
    """Held by the process that looks after a file of unsent records: a training or a sync."""
    return ProcessLock(file.with_name(f".{file.stem}.lock"))


def _same_run(left: Start, own: Start) -> bool:
    if left.key and own.key:
        return left.key == own.key
    return left.run_id in ("", own.run_id)
