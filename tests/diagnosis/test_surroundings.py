from __future__ import annotations

import http.server
import os
import shutil
import threading
from types import SimpleNamespace

import pytest

from transfer_kit.diagnosis import surroundings

pytest_plugins = ["mlflow_stores"]


def test_an_old_python_fails():
    assert surroundings.check_python((3, 9, 18)).mend == "install Python 3.10 or newer"
    assert surroundings.check_python().status == "ok"


def test_a_folder_that_cannot_be_written_fails(tmp_path):
    (tmp_path / "file").write_text("")
    found = surroundings.check_writable("working folder", tmp_path / "file" / "x")
    assert found.status == "failed"
    assert "cannot be written (Not a directory)" in found.message


def test_a_folder_that_does_not_exist_yet_is_well_where_it_can_be_made(tmp_path):
    assert surroundings.check_writable("store folder", tmp_path / "a" / "b").status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_the_store_folder_follows_its_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "file"))
    found = surroundings.check_store_folder()
    assert (found.status, found.mend) == (
        "failed",
        "set TRANSFER_KIT_HOME to a folder of your own",
    )


@pytest.mark.parametrize(("free_gb", "status"), [(0.1, "failed"), (3, "warning"), (50, "ok")])
def test_a_full_disk_is_told(tmp_path, monkeypatch, free_gb, status):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_gb * 1e9))
    found = surroundings.check_disk(tmp_path)
    assert found.status == status
    assert bool(found.mend) == (status != "ok")


def test_data_folders_that_do_not_exist_fail(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_DATA", os.pathsep.join([str(tmp_path), "/no/such/folder"]))
    found = surroundings.check_data_folders()
    assert found.status == "failed"
    assert found.message == "TRANSFER_KIT_DATA names what is no folder: /no/such/folder"
    monkeypatch.setenv("TRANSFER_KIT_DATA", str(tmp_path))
    assert surroundings.check_data_folders().status == "ok"
    monkeypatch.delenv("TRANSFER_KIT_DATA")
    assert surroundings.check_data_folders().status == "ok"


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """An installation of one recipe and one model."""
    from transfer_kit.stores import locations

    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "everyday.yaml").write_text("")
    model = tmp_path / "models" / "micronet-breast"
    model.mkdir(parents=True)
    (model / "card.yaml").write_text("")
    (model / "detector.safetensors").write_bytes(b"x" * 2000)
    monkeypatch.setattr(locations, "shipped", lambda kind: tmp_path / kind)
    return model


def test_recipes_and_models_that_ship_are_counted(shipped):
    found = surroundings.check_shipped()
    assert (found.status, found.message) == ("ok", "1 recipe and 1 model")


def test_weights_that_were_not_fetched_are_told(shipped):
    (shipped / "detector.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    found = surroundings.check_shipped()
    assert found.message == "the weights of micronet-breast are missing or empty"


def test_an_installation_without_models_is_told(shipped):
    shutil.rmtree(shipped)
    assert surroundings.check_shipped().status == "failed"


# --- the MLflow store


@pytest.fixture
def server():
    """A web server on this machine that answers every page with its `status`."""

    class Answer(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self):
            self.send_response(self.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield SimpleNamespace(port=running.server_port, answer=Answer)
        running.shutdown()
        thread.join()


def test_a_store_that_is_there_is_well(working):
    found = surroundings.check_tracking_store()
    assert (found.status, found.message) == ("ok", f"{working / 'mlflow.db'} with 0 runs")


def test_a_store_that_will_be_made_is_well(working):
    (working / "mlflow.db").unlink()
    found = surroundings.check_tracking_store()
    assert (found.status, found.message) == (
        "ok",
        f"{working / 'mlflow.db'} will be made by the first run",
    )
    assert not (working / "mlflow.db").exists()


def test_a_broken_store_fails(working):
    (working / "mlflow.db").write_text("broken " * 1000)
    found = surroundings.check_tracking_store()
    assert found.status == "failed"
    assert "is no MLflow store (file is not a database)" in found.message
    assert found.mend.startswith("move it away")


def test_a_server_that_answers_is_well_and_its_password_unseen(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{server.port}")
    found = surroundings.check_tracking_store()
    assert found.status == "ok"
    assert found.message == f"the MLflow server http://***@127.0.0.1:{server.port} answers"


@pytest.mark.parametrize(("status", "verdict"), [(401, "ok"), (404, "failed"), (502, "failed")])
def test_a_server_is_judged_by_its_answer(server, monkeypatch, status, verdict):
    server.answer.status = status
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.port}")
    assert surroundings.check_tracking_store().status == verdict


def test_a_server_that_is_down_fails(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@127.0.0.1:1")
    found = surroundings.check_tracking_store()
    assert found.status == "failed"
    assert "Connection refused" in found.message
    assert "secret" not in found.message
    assert found.mend.startswith("start it, or unset MLFLOW_TRACKING_URI")


def test_a_database_that_is_down_fails_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuchdatabase://ann:secret@127.0.0.1:1/x")
    found = surroundings.check_tracking_store()
    assert found.status == "failed"
    assert "secret" not in found.message + found.mend


def test_a_folder_of_files_as_store_fails_with_the_mend(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    found = surroundings.check_tracking_store()
    assert found.status == "failed"
    assert found.mend.startswith("set MLFLOW_TRACKING_URI to a server")
