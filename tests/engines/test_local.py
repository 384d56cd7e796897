from __future__ import annotations

import os

import pytest
import torch
from study_work import do

from transfer_kit.engines.gpus import gpu_of_worker, visible_gpus
from transfer_kit.engines.local import run_all


def test_tasks_that_fail_or_die_do_not_stop_the_others(tmp_path):
    first, last = tmp_path / "first", tmp_path / "last"
    tasks = [f"write {first}", "fail", "die", "break", f"write {last}"]
    outcomes = list(run_all(tasks, do, workers=1, log=tmp_path / "logs" / "log"))
    assert [outcome.task for outcome in outcomes] == tasks
    errors = [outcome.error for outcome in outcomes]
    assert errors[0] == errors[4] == ""
    assert errors[1] == "It cannot be done; do another."
    assert "SIGKILL" in errors[2]
    assert errors[3].startswith("ZeroDivisionError: a fault of the program\nTraceback")
    assert first.read_text() == last.read_text() == "1 1"  # of one thread each


def test_leaving_early_ends_the_processes(tmp_path):
    paths = [tmp_path / str(number) for number in range(3)]
    outcomes = run_all([f"write {p}" for p in paths], do, workers=1, log=tmp_path / "log")
    next(outcomes)
    outcomes.close()
    assert paths[0].is_file()
    assert not paths[2].exists()


def test_of_several_gpus_each_process_sees_one(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    first, second, later = (tmp_path / name for name in ("first", "second", "later"))
    list(run_all([f"gpu {first}", f"gpu {second}"], do, workers=2, log=tmp_path / "log"))
    assert [path.read_text() for path in (first, second)] == ["0", "1"]
    # One that dies is followed by another on the same GPU.
    list(run_all(["die", f"gpu {later}"], do, workers=1, log=tmp_path / "log"))
    assert later.read_text() == "0"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (None, ("0", "1", "2")),
        ("2,3", ("2", "3")),
        ("GPU-8e, 1", ("GPU-8e", "1")),
        ("1,-1,0", ("1",)),
        ("", ()),
    ],
)
def test_the_gpus_are_those_that_the_environment_leaves(named, found, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == found


def test_more_workers_than_gpus_share_them_and_one_gpu_is_everybody_s():
    assert [gpu_of_worker(number, ("2", "3")) for number in range(4)] == ["2", "3", "2", "3"]
    assert gpu_of_worker(5, ("0",)) is None
    assert gpu_of_worker(5, ()) is None
