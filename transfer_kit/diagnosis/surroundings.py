"""Checks of what lies around the program: Python, folders, disk, the MLflow store, data."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

from transfer_kit.diagnosis.check import Check, probe
from transfer_kit.errors import UserError
from transfer_kit.wording import counted

OLDEST_PYTHON = (3, 10)
LITTLE_DISK_GB = 5.0
NO_DISK_GB = 0.5

_DATABASE = """
import os, sqlalchemy
sqlalchemy.create_engine(os.environ["MLFLOW_TRACKING_URI"]).connect().close()
print(json.dumps({}))
"""


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Python is new enough and 64-bit."""
    said = f"Python {'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if version < OLDEST_PYTHON:
        return Check("python", "failed", said, f"install Python {oldest} or newer")
    if sys.maxsize < 2**32:
        return Check("python", "failed", f"{said}, 32-bit", "install a 64-bit Python")
    return Check("python", "ok", said)


def check_writable(name: str, folder: Path) -> Check:
    """Files can be made in a folder, or where it would be made."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        mend = (
            "set TRANSFER_KIT_HOME to a folder of your own"
            if name == "store folder"
            else "work in a folder of your own"
        )
        return Check(name, "failed", f"{folder} cannot be written ({error.strerror})", mend)
    return Check(name, "ok", f"{folder} can be written")


def check_store_folder() -> Check:
    """The user's own models and datasets can be written."""
    from transfer_kit.stores.locations import user_folder

    return check_writable("store folder", user_folder())


def check_disk(folder: Path) -> Check:
    """Room for runs, checkpoints and caches."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    said = f"{free_gb:.1f} GB free in {folder}"
    mend = "free some, or work on another disk; runs/ and mlartifacts/ hold finished runs"
    if free_gb < NO_DISK_GB:
        return Check("disk", "failed", said, mend)
    if free_gb < LITTLE_DISK_GB:
        return Check("disk", "warning", said, mend)
    return Check("disk", "ok", said)


def check_tracking_store() -> Check:
    """The MLflow store answers, or can be made."""
    from transfer_kit.tracking.location import SQLITE, is_server, sqlite_path, store_uri

    name = "tracking store"
    try:
        uri = store_uri()
    except UserError as error:
        sentence, _, mend = str(error).partition("; ")
        return Check(name, "failed", sentence, mend.rstrip("."))
    if is_server(uri):
        return _check_server(name, uri)
    if uri.startswith(SQLITE):
        return _check_sqlite(name, sqlite_path(uri))
    return _check_database(name, uri)


def _check_server(name: str, uri: str) -> Check:
    from transfer_kit.tracking.links import ui_root
    from transfer_kit.tracking.location import redacted

    root = ui_root(uri)
    try:
        with urllib.request.urlopen(f"{root}/health", timeout=5) as answer:  # noqa: S310 - http(s)
            answer.read(100)
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):  # a server that wants a password is there
            return _no_server(name, redacted(uri), f"HTTP {error.code}")
    except (urllib.error.URLError, OSError) as error:
        return _no_server(name, redacted(uri), str(getattr(error, "reason", error)))
    return Check(name, "ok", f"the MLflow server {redacted(uri)} answers")


def _no_server(name: str, uri: str, why: str) -> Check:
    return Check(
        name,
        "failed",
        f"the MLflow server {uri} does not answer ({why})",
        "start it, or unset MLFLOW_TRACKING_URI to store runs in mlflow.db of the working folder",
    )


def _check_sqlite(name: str, path: Path) -> Check:
    if not path.exists():
        writable = check_writable("working folder", path.parent)
        said = f"{path} will be made by the first run"
        return Check(name, "ok", said) if writable.status == "ok" else writable
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            database.execute("SELECT version_num FROM alembic_version").fetchone()
            count = database.execute("SELECT COUNT(*) FROM runs").fetchone()[0]
    except sqlite3.Error as error:
        said = f"{path} is no MLflow store ({error})"
        return Check(name, "failed", said, f"move it away: mv {path} {path}.broken")
    if not os.access(path, os.W_OK):
        return Check(name, "failed", f"{path} cannot be written", f"chmod u+w {path}")
    return Check(name, "ok", f"{path} with {counted(count, 'run')}")


def _check_database(name: str, uri: str) -> Check:
    from transfer_kit.tracking.location import redacted

    found = probe(_DATABASE, ["mlflow"])
    if found.facts is None:
        said = f"the MLflow store {redacted(uri)} cannot be opened ({redacted(found.error)})"
        return Check(name, "failed", said, "check MLFLOW_TRACKING_URI, its server and its driver")
    return Check(name, "ok", f"the MLflow store {redacted(uri)} answers")


def check_shipped() -> Check:
    """The recipes and models that belong to the installation are there."""
    from transfer_kit.stores.locations import shipped

    mend = "install transfer-kit again"
    try:
        recipes = list(shipped("recipes").rglob("*.yaml"))
        models = list(shipped("models").glob("*/card.yaml"))
    except UserError as error:
        return Check("shipped files", "failed", str(error).split(";")[0], mend)
    there = f"{counted(len(recipes), 'recipe')} and {counted(len(models), 'model')}"
    if not recipes or not models:
        said = f"with this installation ship {there}"
        return Check("shipped files", "failed", said, mend)
    hollow = [card.parent.name for card in models if not _has_weights(card.parent)]
    if hollow:
        said = f"the weights of {', '.join(sorted(hollow))} are missing or empty"
        return Check("shipped files", "failed", said, mend)
    return Check("shipped files", "ok", there)


def _has_weights(folder: Path) -> bool:
    weights = folder / "detector.safetensors"
    # A pointer of Git LFS is a text of some 130 bytes.
    return weights.is_file() and weights.stat().st_size > 1000


def check_data_folders() -> Check:
    """The folders that TRANSFER_KIT_DATA names exist."""
    from transfer_kit.stores.locations import data_folders

    folders = data_folders()
    if not folders:
        said = "TRANSFER_KIT_DATA is not set; only downloaded datasets need it"
        return Check("data folders", "ok", said)
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        said = f"TRANSFER_KIT_DATA names what is no folder: {', '.join(missing)}"
        return Check("data folders", "failed", said, "correct or unset TRANSFER_KIT_DATA")
    return Check("data folders", "ok", ", ".join(map(str, folders)))
