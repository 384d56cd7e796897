"""Keeping what Ray prints out of standard output, which belongs to the command."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO


@contextmanager
def ray_apart() -> Iterator[None]:
    """In this block, what Ray's own threads print goes to standard error.

    They say there, whatever `log_to_driver` is, that a machine was lost, and a program that reads
    what `--json` prints would find that before it.
    """
    apart: Any = _ByThread(sys.stdout)
    sys.stdout = apart
    try:
        yield
    finally:
        if sys.stdout is apart:
            sys.stdout = apart.usual


@contextmanager
def all_apart() -> Iterator[None]:
    """In this block, what anybody prints goes to standard error: Ray's end prints what is left."""
    with redirect_stdout(sys.stderr):
        yield


class _ByThread:
    """Standard output, but standard error for the threads of Ray."""

    def __init__(self, usual: TextIO) -> None:
        self.usual = usual

    def __getattr__(self, name: str) -> Any:
        is_ray = threading.current_thread().name.startswith("ray_")
        return getattr(sys.stderr if is_ray else self.usual, name)
