"""What NVIDIA's driver tells of GPUs: their names and their energy."""

from __future__ import annotations

from typing import Any


def _nvml() -> Any:
    import pynvml

    pynvml.nvmlInit()
    return pynvml


def gpu_names() -> tuple[str, ...]:
    """Of the GPUs that the driver shows; empty without a driver or `nvidia-ml-py`."""
    try:
        nvml = _nvml()
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        names = [nvml.nvmlDeviceGetName(handle) for handle in handles]
    except Exception:  # no GPU, no driver, no library
        return ()
    return tuple(each.decode() if isinstance(each, bytes) else str(each) for each in names)


class EnergyMonitor:
    """Energy that each GPU has used since the run's process began, in joules.

    The driver counts it in GPUs from Volta on; others are left out. Same shape as MLflow's own
    monitors.

    Raises:
        Exception: there is no GPU whose driver counts energy.
    """

    def __init__(self) -> None:
        self._nvml = _nvml()
        self._before: dict[int, tuple[Any, float]] = {}
        for number in range(self._nvml.nvmlDeviceGetCount()):
            handle = self._nvml.nvmlDeviceGetHandleByIndex(number)
            try:
                used = float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            except self._nvml.NVMLError:
                continue
            self._before[number] = handle, used
        if not self._before:
            raise RuntimeError("no GPU counts its energy")
        self._joules: dict[str, float] = {}

    def collect_metrics(self) -> None:
        """Read the counters, which the driver keeps in millijoules."""
        for number, (handle, before) in self._before.items():
            used = float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            self._joules[f"gpu_{number}_energy_joules"] = round((used - before) / 1000, 1)

    def aggregate_metrics(self) -> dict[str, float]:
        """The energy so far, by name."""
        return dict(self._joules)

    def clear_metrics(self) -> None:
        """Nothing: it is a sum."""
