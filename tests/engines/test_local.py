from __future__ import annotations

from study_work import do

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
