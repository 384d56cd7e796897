"""Load and memory of the machine while a run goes on, as MLflow's own system metrics name them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

PREFIX = "system/"
"""MLflow shows metrics of such names on a page of their own."""

INTERVAL_SECONDS = 10.0


class Sample(NamedTuple):
    """The machine at one moment.

    Attributes:
        values: By name, as MLflow's page of system metrics expects them.
        step: Whole seconds since the run first began.
        time_ms: The moment.
    """

    values: dict[str, float]
    step: int
    time_ms: int


class SystemMetrics:
    """Takes samples in a thread of its own, with MLflow's own monitors.

    MLflow's logging of them is not used: it asks the server at each sample, and ends where that
    does not answer. Here the samples go the way of everything else that a run says.
    `MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL` changes the seconds between two, and
    `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false` turns them off.

    Args:
        put: Takes each sample.
        began_ms: When the run first began.
    """

    def __init__(self, put: Callable[[Sample], None], *, began_ms: int) -> None:
        self._put = put
        self._began_ms = began_ms
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> SystemMetrics:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, unless turned off or begun already."""
        wanted = os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower()
        if wanted in ("false", "0") or self._thread is not None:
            return
        self._thread = threading.Thread(target=self._work, name="system-metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take the last sample and end."""
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join(PATIENCE_SECONDS)

    def _work(self) -> None:
        monitors = make_monitors()
        for monitor in monitors:  # the processor's load is told since the time before
            with suppress(Exception):
                _measured(monitor)
        while monitors:
            last = self._stopping.wait(interval_seconds())
            values = {}
            for monitor in list(monitors):
                try:
                    values.update(_measured(monitor))
                except Exception:  # a counter that this machine or container does not have
                    monitors.remove(monitor)
            if values:
                now = time.time_ns() // 1_000_000
                self._put(Sample(values, max(0, (now - self._began_ms) // 1000), now))
            if last:
                return


PATIENCE_SECONDS = 2.0
"""How long the last sample may take; a GPU's driver that hangs holds nobody."""


def interval_seconds() -> float:
    """Seconds between two samples."""
    named = os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "")
    try:
        return max(0.1, float(named))
    except ValueError:
        return INTERVAL_SECONDS


def make_monitors() -> list[Any]:
    """MLflow's monitors that work on this machine, and the GPUs' energy where they count it."""
    from transfer_kit.tracking.gpu import EnergyMonitor
    from transfer_kit.tracking.location import quiet_mlflow

    quiet_mlflow()
    monitors = []
    for maker in (*_mlflows_monitors(), EnergyMonitor):
        try:
            monitors.append(maker())
        except Exception:  # noqa: S112 - no such device, driver or library: nothing to measure
            continue
    return monitors


def _mlflows_monitors() -> list[Callable[[], Any]]:
    try:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
        from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor
    except ImportError:  # psutil is absent
        return []
    return [CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor, ROCMMonitor]


def _measured(monitor: Any) -> dict[str, float]:
    monitor.collect_metrics()
    values = {f"{PREFIX}{key}": float(value) for key, value in monitor.aggregate_metrics().items()}
    monitor.clear_metrics()
    return values
