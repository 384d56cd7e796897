from __future__ import annotations

import sys
import time
import types

import pytest

from transfer_kit.tracking.gpu import EnergyMonitor, gpu_names
from transfer_kit.tracking.system_metrics import SystemMetrics, make_monitors

pytest_plugins = ["mlflow_stores"]


class NVMLError(Exception):
    pass


class Driver(types.ModuleType):
    """NVIDIA's driver with two GPUs, of which the second does not count its energy."""

    NVMLError = NVMLError

    def __init__(self):
        super().__init__("pynvml")
        self.millijoules = 5_000_000

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, number):  # noqa: N802
        return number

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return b"NVIDIA A" if handle == 0 else "NVIDIA B"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if handle == 1:
            raise NVMLError
        return self.millijoules


@pytest.fixture
def driver(monkeypatch):
    made = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    return made


def no_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it raises ImportError


def test_energy_is_counted_from_the_run_s_beginning_in_joules(driver):
    monitor = EnergyMonitor()
    driver.millijoules += 2_500_000
    monitor.collect_metrics()
    assert monitor.aggregate_metrics() == {"gpu_0_energy_joules": 2500.0}
    monitor.clear_metrics()
    driver.millijoules += 500_000
    monitor.collect_metrics()
    assert monitor.aggregate_metrics() == {"gpu_0_energy_joules": 3000.0}


def test_gpus_have_the_names_that_the_driver_gives(driver):
    assert gpu_names() == ("NVIDIA A", "NVIDIA B")


def test_without_a_driver_there_is_nothing_to_tell_of_gpus(monkeypatch):
    no_driver(monkeypatch)
    assert gpu_names() == ()
    kinds = {type(monitor).__name__ for monitor in make_monitors()}
    assert {"CPUMonitor", "DiskMonitor", "NetworkMonitor"} <= kinds
    assert "EnergyMonitor" not in kinds


def samples_of(seconds, **settings):
    seen = []
    with SystemMetrics(seen.append, **settings):
        time.sleep(seconds)
    return seen


def test_samples_have_mlflows_names_and_the_run_s_seconds(monkeypatch):
    no_driver(monkeypatch)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    now = time.time_ns() // 1_000_000
    seen = samples_of(1.0, began_ms=now - 3_600_000)
    assert seen
    for sample in seen:
        assert sample.values["system/system_memory_usage_megabytes"] > 0
        assert 0 <= sample.values["system/cpu_utilization_percentage"] <= 100
        assert 3600 <= sample.step < 3700
        assert abs(sample.time_ms - now) < 100_000


def test_a_short_run_has_one_sample_all_the_same(monkeypatch):
    no_driver(monkeypatch)
    assert len(samples_of(0.0, began_ms=0)) == 1


def test_it_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    assert samples_of(0.0, began_ms=0) == []


def test_a_counter_that_fails_is_left_out_and_the_others_go_on(monkeypatch):
    class Broken:
        def collect_metrics(self):
            raise OSError("no such counter")

    class Whole:
        def collect_metrics(self):
            pass

        def aggregate_metrics(self):
            return {"answer": 42}

        def clear_metrics(self):
            pass

    name = "transfer_kit.tracking.system_metrics.make_monitors"
    monkeypatch.setattr(name, lambda: [Broken(), Whole()])
    (sample,) = samples_of(0.0, began_ms=0)
    assert sample.values == {"system/answer": 42.0}


def test_a_run_s_samples_arrive_with_all_else_that_it_says(tracking, monkeypatch):
    no_driver(monkeypatch)
    with tracking.start_run("watched", tags={}) as run:
        run.watch_system()
    metrics = tracking.client.get_run(run.run_id).data.metrics
    assert metrics["system/system_memory_usage_percentage"] > 0
