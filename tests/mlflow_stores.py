"""An MLflow store for a test: copied from one that is made once, since making it takes seconds."""

from __future__ import annotations

import atexit
import shutil
import socket
import tempfile
from functools import cache
from pathlib import Path

import pytest

from transfer_kit.tracking import Tracking, open_tracking
from transfer_kit.tracking.location import prepare_sqlite, sqlite_uri


@cache
def empty_store() -> Path:
    """An mlflow.db with tables and no experiment of ours."""
    folder = Path(tempfile.mkdtemp(prefix="transfer-kit-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    prepare_sqlite(sqlite_uri(folder / "mlflow.db"))
    return folder / "mlflow.db"


@pytest.fixture
def working(tmp_path, monkeypatch) -> Path:
    """A working folder that holds a store of its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store(), tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tracking(working) -> Tracking:
    """The experiment `eye` in that store."""
    return open_tracking("eye")


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nothing listens."""
    return free_port()


@pytest.fixture
def impatient(monkeypatch) -> None:
    """MLflow gives up at once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
