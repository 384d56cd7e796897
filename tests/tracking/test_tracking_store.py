from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from transfer_kit.errors import UserError
from transfer_kit.tracking import open_tracking
from transfer_kit.tracking.store import newest_experiment

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


def test_a_dead_server_is_told_before_the_training_and_without_the_password(
    monkeypatch, closed_port, impatient
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{closed_port}")
    with pytest.raises(UserError) as told:
        open_tracking("eye")
    assert str(told.value) == (
        f"The MLflow server http://***@127.0.0.1:{closed_port} does not answer (Connection "
        "refused); start it, or unset MLFLOW_TRACKING_URI to store runs in mlflow.db of the "
        "working folder."
    )


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
