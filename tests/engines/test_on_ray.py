from __future__ import annotations

import importlib.metadata
import sys
import threading
import time

import pytest
from ray_clusters import ray_cluster
from work_for_engines import Job, make_file

from transfer_kit.engines.on_ray import run_on_ray
from transfer_kit.engines.options import RayOptions
from transfer_kit.errors import UserError

pytest.importorskip("ray", reason="the extra [ray] is not installed")


@pytest.fixture(scope="module")
def cluster():
    """A head without room for tasks and one machine with room for two."""
    with ray_cluster() as made:
        made.add_node(num_cpus=2)
        made.wait_for_nodes()
        yield made


def run(cluster, jobs, home, *, workers=2, **options):
    options = RayOptions(address=cluster.address, **options)
    log = home / "workers.log"
    return run_on_ray(jobs, make_file, workers=workers, log=log, options=options, home=home)


def test_each_task_is_done_once_and_what_fails_says_why(cluster, tmp_path):
    jobs = [Job(0, tmp_path), Job(1, tmp_path, fails="user"), Job(2, tmp_path, fails="fault")]
    outcomes = {each.task.number: each.error for each in run(cluster, jobs, tmp_path)}
    assert outcomes[0] == ""
    assert outcomes[1] == "This was refused; mend it."
    assert outcomes[2].startswith("ZeroDivisionError: a fault of the program\nTraceback")
    assert jobs[0].file.read_text() == "0"
    assert len(list((tmp_path / "begun").iterdir())) == 3


def test_the_tasks_of_a_machine_that_is_killed_are_done_by_another(cluster, tmp_path, capsys):
    doomed = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    jobs = [Job(number, tmp_path, seconds=4) for number in range(4)]
    outcomes = run(cluster, jobs, tmp_path, workers=4)
    began = tmp_path / "begun"

    def all_four_run():
        return began.is_dir() and len(list(began.iterdir())) >= 4

    def kill():
        until = time.monotonic() + 90
        while not all_four_run() and time.monotonic() < until:
            time.sleep(0.05)
        cluster.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    done = list(outcomes)
    killer.join()
    assert [each.error for each in done] == [""] * 4
    assert sorted(each.task.number for each in done) == [0, 1, 2, 3]
    assert [job.file.read_text() for job in jobs] == ["0", "1", "2", "3"]
    assert len(list(began.iterdir())) > 4  # some were begun twice, since their machine was gone
    said = capsys.readouterr()
    assert "marked dead" in said.err  # Ray says so on standard output, which is the command's own
    assert said.out == ""


def test_what_a_task_wrote_where_no_folder_is_shared_comes_home(cluster, tmp_path, monkeypatch):
    # One machine cannot have two folders of one path, so the mark is made one that nobody finds.
    monkeypatch.setattr("transfer_kit.engines.on_ray.leave_mark", lambda home: "elsewhere")
    seen = {}
    monkeypatch.setattr(
        "transfer_kit.engines.ray_processes.bring_home", lambda files, home: seen.update(files)
    )
    (tmp_path / "older.txt").write_text("was here before")
    assert [each.error for each in run(cluster, [Job(7, tmp_path)], tmp_path)] == [""]
    made = {name: content for name, content in seen.items() if name.startswith("made")}
    assert made == {"made/7.txt": b"7"}
    assert "older.txt" not in seen


def test_a_cluster_that_is_not_there_is_told(tmp_path):
    options = RayOptions(address="127.0.0.1:1")
    with pytest.raises(UserError, match=r"There is no Ray cluster at 127.0.0.1:1; .*address="):
        list(
            run_on_ray(
                [], make_file, workers=1, log=tmp_path / "log", options=options, home=tmp_path
            )
        )


def test_machines_with_other_packages_are_refused(cluster, tmp_path, monkeypatch):
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "9.9" if name == "torch" else real(name)
    )
    with pytest.raises(UserError, match=r"has other packages .* \(torch \S+ instead of 9.9\)"):
        list(run(cluster, [Job(0, tmp_path)], tmp_path))
    assert not (tmp_path / "begun").exists()


def test_without_ray_the_mend_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'transfer-kit\[ray\]'"):
        list(
            run_on_ray(
                [], make_file, workers=1, log=tmp_path / "l", options=RayOptions(), home=tmp_path
            )
        )
