from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from transfer_kit.errors import UserError
from transfer_kit.tracking import open_tracking
from transfer_kit.tracking.experiments import newest_experiment

pytest_plugins = ["mlflow_stores"]


def test_the_default_store_lies_in_the_working_folder(tracking, working):
    assert tracking.store == f"sqlite:///{working}/mlflow.db"
    experiment = tracking.client.get_experiment(tracking.experiment_id)
    assert experiment.artifact_location == (working / "mlartifacts").as_uri()
    assert experiment.name == "eye"


def test_opening_twice_gives_the_same_experiment(tracking):
    assert open_tracking("eye").experiment_id == tracking.experiment_id
    assert open_tracking("brain").experiment_id != tracking.experiment_id


def test_the_environment_names_another_sqlite_file(working, monkeypatch):
    (working / "other").mkdir()
    (working / "mlflow.db").rename(working / "other" / "runs.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/runs.db")
    tracking = open_tracking("eye")
    assert tracking.store == f"sqlite:///{working}/other/runs.db"
    experiment = tracking.client.get_experiment(tracking.experiment_id)
    assert experiment.artifact_location == (working / "other" / "mlartifacts").as_uri()


def test_the_newest_run_tells_the_experiment_to_show(tracking):
    assert newest_experiment(tracking.client) is None
    other = open_tracking("brain")
    with tracking.start_run("a", tags={}):
        pass
    time.sleep(0.005)
    with other.start_run("b", tags={}):
        pass
    assert newest_experiment(tracking.client) == other.experiment_id


def test_a_dead_server_is_told_before_the_training_which_goes_on(
    monkeypatch, closed_port, impatient, caplog
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{closed_port}")
    with caplog.at_level(logging.WARNING):
        tracking = open_tracking("eye")
    assert (tracking.experiment, tracking.experiment_id) == ("eye", "")
    (said,) = [each.getMessage() for each in caplog.records]
    assert said == (
        f"The MLflow server http://***@127.0.0.1:{closed_port} does not answer (Connection "
        "refused); the training goes on, and what it says is kept in its run folder: it is tried "
        "again, and `transfer-kit runs sync` sends it later."
    )


def answering(status, body, seconds=0.0):
    """A server on a free port that gives every request the same answer."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(seconds)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_a_server_that_takes_long_is_not_waited_for(monkeypatch, caplog):
    server = answering(200, b"{}", seconds=20.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("transfer_kit.tracking.store.ANSWER_SECONDS", 0.3)
    with caplog.at_level(logging.WARNING):
        began = time.monotonic()
        tracking = open_tracking("eye")
        took = time.monotonic() - began
    assert tracking.experiment_id == ""
    assert took < 15
    assert "does not answer (nothing in 0.3 s); the training goes on" in caplog.text


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_refuses_our_password_is_told_without_it(monkeypatch, status):
    server = answering(status, b"who are you?")
    address = f"http://ann:secret@127.0.0.1:{server.server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr("transfer_kit.tracking.store.ANSWER_SECONDS", 60.0)
    with pytest.raises(UserError, match=r"refuses to be used .*; check the address, user") as told:
        open_tracking("eye")
    assert "secret" not in str(told.value)


def test_a_server_in_trouble_does_not_stop_a_training(monkeypatch, impatient, caplog):
    server = answering(507, b"disk full")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("transfer_kit.tracking.store.ANSWER_SECONDS", 60.0)
    with caplog.at_level(logging.WARNING):
        assert open_tracking("eye").experiment_id == ""
    assert "the training goes on" in caplog.text


def test_a_folder_of_files_is_refused_with_the_mend(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    with pytest.raises(UserError, match=r"no longer stores runs in a folder of files .* sqlite:"):
        open_tracking("eye")


def test_a_file_that_is_no_database_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("not a database, for sure " * 100)
    with pytest.raises(UserError, match=r"mlflow.db cannot be opened .*\(file is not a database\)"):
        open_tracking("eye")


def test_a_store_of_another_mlflow_is_told_with_the_command(working):
    with sqlite3.connect("mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    database.close()
    with pytest.raises(UserError, match=r"run `mlflow db upgrade sqlite:.*mlflow.db`"):
        open_tracking("eye")


def test_a_deleted_experiment_is_told_with_the_command(tracking):
    tracking.client.delete_experiment(tracking.experiment_id)
    mend = f"mlflow experiments restore --experiment-id {tracking.experiment_id}"
    with pytest.raises(UserError, match=mend):
        open_tracking("eye")


def test_links_open_the_table_of_trainings(tracking):
    number = tracking.experiment_id
    view = "workflowType=machine_learning"
    assert tracking.experiment_url(5057) == (
        f"http://127.0.0.1:5057/#/experiments/{number}/runs?{view}"
    )
    assert tracking.run_url("ab", 5057) == (
        f"http://127.0.0.1:5057/#/experiments/{number}/runs/ab?{view}"
    )


def test_importing_tracking_imports_neither_mlflow_nor_torch():
    code = (
        "import sys, transfer_kit.tracking, transfer_kit.cli.ui, transfer_kit.cli.doctor\n"
        "assert not {'mlflow', 'torch', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
