"""A file that says that a process looks after something, and lets go of it however that ends."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout


class ProcessLock:
    """A lock of the operating system, which is free again when the process that has it is dead.

    Args:
        path: The lock's own file, which is made when the lock is taken and goes with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Not bound to the thread that took it: another one of the process may let it go.
        self._lock = FileLock(path, thread_local=False)

    def acquire(self) -> bool:
        """Take it, unless another has it; whether it is ours now."""
        if self._lock.is_locked:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Let it go, if it is ours."""
        if not self._lock.is_locked:
            return
        with suppress(OSError):
            self.path.unlink()
        self._lock.release(force=True)


def is_held(path: Path) -> bool:
    """Whether a living process has the lock at `path`; nothing is left there."""
    if not path.exists():
        return False
    lock = ProcessLock(path)
    if not lock.acquire():
        return True
    lock.release()
    return False
