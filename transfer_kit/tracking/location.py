"""Where runs are stored: the address, what may be printed of it, and making a new sqlite file."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from urllib.parse import urlsplit

from transfer_kit.errors import UserError

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
SQLITE = "sqlite:///"

_USERS = re.compile(r"://[^/\s]*@")
_SECRETS = re.compile(r"(?i)([?&;][^=&;\s]*(?:password|passwd|token|secret|key)=)[^&;\s]*")


def quiet_mlflow() -> None:
    """Keep MLflow from telephoning, chattering and hanging; call before its first import.

    What the user set in the environment wins. The short retries are for one request: a request that
    fails is kept and sent again later, so nothing is gained by waiting minutes inside it.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    # Standard output belongs to --json.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Faults come back as exceptions and are reported once, by transfer-kit.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # An example would have MLflow load and run the model just to log it.
    warnings.filterwarnings("ignore", message=".*input example was not provided")
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def store_uri() -> str:
    """The address in `MLFLOW_TRACKING_URI`, else the sqlite file of the current folder.

    Raises:
        UserError: the variable names a folder of files, which MLflow no longer writes.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return checked_uri(named) if named else sqlite_uri(Path(DATABASE))


def checked_uri(uri: str) -> str:
    """`uri` as MLflow takes it; the path of a sqlite file is made absolute.

    Raises:
        UserError: it names a folder of files, or nothing that MLflow knows.
    """
    if uri.startswith("sqlite:"):
        return sqlite_uri(sqlite_path(uri))
    scheme = urlsplit(uri).scheme
    if scheme in ("", "file") or len(scheme) == 1:  # one letter: a Windows drive
        raise UserError(
            f"MLflow no longer stores runs in a folder of files ({redacted(uri)}); set "
            f"MLFLOW_TRACKING_URI to a server (http://...) or to {SQLITE}mlflow.db."
        )
    return uri.rstrip("/") if is_server(uri) else uri


def is_server(uri: str) -> bool:
    """Whether an MLflow server answers there."""
    return urlsplit(uri).scheme in ("http", "https")


def sqlite_uri(path: Path) -> str:
    """The address of a sqlite file.

    Raises:
        UserError: the path holds a question mark, which starts options in such an address.
    """
    absolute = path.expanduser().absolute().as_posix()
    if "?" in absolute:
        raise UserError(
            f"MLflow cannot store runs in {absolute}, since its name holds a question mark; "
            "work in another folder or set MLFLOW_TRACKING_URI."
        )
    return f"{SQLITE}{absolute}"


def sqlite_path(uri: str) -> Path:
    """The file of a sqlite address."""
    return Path(uri.removeprefix(SQLITE).split("?", 1)[0])


def artifact_root(uri: str) -> str | None:
    """Where files of runs go: beside a sqlite file, in the current folder for another database.

    None for a server, which decides itself.
    """
    if is_server(uri):
        return None
    beside = sqlite_path(uri).parent if uri.startswith(SQLITE) else Path.cwd()
    return (beside / ARTIFACTS).absolute().as_uri()


def redacted(text: str) -> str:
    """An address, or a text that holds some, without passwords, tokens and users.

    Example:
        >>> redacted("https://ann:secret@mlflow.lab:5000/x")
        'https://***@mlflow.lab:5000/x'
    """
    return _SECRETS.sub(r"\1***", _USERS.sub("://***@", text))


def prepare_sqlite(uri: str) -> None:
    """Make the tables of a sqlite file that does not exist yet; 6 s, once.

    MLflow has no lock for this: two processes that start together break each other's file, and an
    interruption leaves a file that never opens again. So a whole file is made aside and linked into
    place, which only the first succeeds in.

    Raises:
        UserError: the folder cannot be written.
    """
    path = sqlite_path(uri)
    if path.exists():
        return
    print(f"preparing {path.name} (once)", file=sys.stderr, flush=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as aside:
            made = Path(aside) / path.name
            _make_tables(made, artifact_root(uri))
            _link_unless_there(made, path)
    except OSError as error:
        raise UserError(
            f"Runs cannot be stored in {path} ({error.strerror or error}); work in a folder that "
            "can be written, or set MLFLOW_TRACKING_URI."
        ) from None


def _make_tables(path: Path, root: str | None) -> None:
    quiet_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    quiet_mlflow()  # the import sets its loggers up anew
    store = SqlAlchemyStore(sqlite_uri(path), root)
    store.engine.dispose()


def _link_unless_there(made: Path, path: Path) -> None:
    try:
        path.hardlink_to(made)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            made.replace(path)
