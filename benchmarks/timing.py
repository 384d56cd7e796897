"""Timing that a busy machine disturbs little."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def interleaved(*calls: Callable[[], object], rounds: int = 11) -> list[float]:
    """Median milliseconds of each call, taking turns so that the machine's load falls on all."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, kept in zip(calls, seconds, strict=True):
            started = time.perf_counter()
            call()
            kept.append(time.perf_counter() - started)
    return [1e3 * statistics.median(kept) for kept in seconds]
