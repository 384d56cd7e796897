from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import fake_slurm
import pytest
from work_for_engines import Job, make_file

from transfer_kit.engines.on_slurm import run_on_slurm
from transfer_kit.engines.options import SlurmOptions
from transfer_kit.errors import UserError

pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
TESTS = Path(__file__).parents[1]
OPTIONS = SlurmOptions(look_every=0.2)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    )
    return fake_slurm.install(tmp_path, monkeypatch)


def run(jobs, home, *, workers=2, options=OPTIONS):
    log = home / "workers.log"
    return run_on_slurm(jobs, make_file, workers=workers, log=log, options=options, home=home)


def test_each_task_is_a_job_and_what_fails_says_why(slurm, tmp_path):
    home = tmp_path / "home"
    jobs = [Job(0, home), Job(1, home, fails="user"), Job(2, home, fails="fault")]
    outcomes = {each.task.number: each.error for each in run(jobs, home)}
    assert outcomes[0] == ""
    assert outcomes[1] == "This was refused; mend it."
    assert outcomes[2].startswith("ZeroDivisionError: a fault of the program\nTraceback")
    assert jobs[0].file.read_text() == "0"
    assert "a fault of the program" in (home / "workers.log").read_text()


def test_slurm_is_asked_for_what_the_options_say(slurm, tmp_path):
    options = replace(
        OPTIONS, minutes=90, partition="gpu", account="lab", cpus=4, gpus=1, memory_gb=16
    )
    home = tmp_path / "home"
    assert [each.error for each in run([Job(0, home), Job(1, home)], home, options=options)] == [
        "", "",
    ]  # fmt: skip
    asked = (slurm / "submitted.sh").read_text()
    for line in (
        "--time=90", "--partition=gpu", "--account=lab", "--cpus-per-task=4",
        "--gpus-per-node=1", "--mem=16GB", "--array=0-1%2", "--job-name=transfer-kit",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in asked


def test_more_tasks_than_slurm_takes_at_once_are_several_arrays(slurm, tmp_path):
    home = tmp_path / "home"
    jobs = [Job(number, home) for number in range(5)]
    outcomes = run(jobs, home, options=replace(OPTIONS, array=2))
    ended = [(each.task.number, each.error) for each in outcomes]
    arrays = [sorted(ended[:2]), sorted(ended[2:4]), ended[4:]]
    assert arrays == [[(0, ""), (1, "")], [(2, ""), (3, "")], [(4, "")]]
    assert sorted(job.name for job in slurm.glob("7*")) == ["71_0", "71_1", "72_0", "72_1", "73"]


def test_an_array_of_no_task_is_refused(slurm, tmp_path):
    with pytest.raises(UserError, match=r"^--engine-set array=0 submits nothing; give 1 or more"):
        list(run([Job(0, tmp_path)], tmp_path, options=replace(OPTIONS, array=0)))
    assert not (slurm / "submitted.sh").exists()


def test_what_has_not_ended_is_cancelled_when_nobody_waits_any_more(slurm, tmp_path):
    home = tmp_path / "home"
    outcomes = run([Job(0, home), Job(1, home, seconds=20)], home)
    assert next(outcomes).task.number == 0
    outcomes.close()
    assert "71_1" in (slurm / "cancelled").read_text()


def test_what_slurm_refuses_is_told(slurm, tmp_path):
    options = replace(OPTIONS, partition="full")
    with pytest.raises(UserError, match=r"Slurm refused the jobs .*--engine-set"):
        list(run([Job(0, tmp_path)], tmp_path, options=options))


def test_a_machine_without_slurm_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"there is no sbatch.*login node"):
        list(run([Job(0, tmp_path)], tmp_path))


def test_without_submitit_the_mend_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'transfer-kit\[slurm\]'"):
        list(run([Job(0, tmp_path)], tmp_path))
