"""Optuna's storage of a sweep: a journal file of its own, or a database shared by machines."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.sweeps.place import Place
from transfer_kit.tracking.faults import reason
from transfer_kit.tracking.location import redacted

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

HEARTBEAT_SECONDS = 10
GRACE_SECONDS = 60
"""After which a worker of a database that gave no sign of life has lost its trial."""

EXTRA = "pip install 'transfer-kit[sweeps]'"
_CONNECT_SECONDS = 10


def open_storage(place: Place) -> BaseStorage:
    """The storage of a place, made if it is not there.

    Raises:
        UserError: it cannot be reached or read; never with its password.
    """
    _quiet()
    with refusing(place):
        return _database(place.url) if place.url else _journal(place.journal)


def load(
    place: Place,
    storage: BaseStorage,
    *,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
) -> Study:
    """The sweep's Optuna study.

    Raises:
        UserError: there is none of that name, or another beside it in the journal.
    """
    from optuna import load_study

    names = names_in(place, storage)
    if place.name not in names:
        where = redacted_url(place.url) if place.url else str(place.folder)
        hint = nearest_hint(place.name, names)
        raise UserError(f"There is no sweep {place.name!r} in {where}. {hint}")
    with refusing(place):
        return load_study(study_name=place.name, storage=storage, sampler=sampler, pruner=pruner)


def names_in(place: Place, storage: BaseStorage) -> list[str]:
    """The sweeps in a storage; of a journal, its own at most.

    Raises:
        UserError: a journal holds another sweep.
    """
    from optuna import get_all_study_names

    with refusing(place):
        names = get_all_study_names(storage)
    others = [name for name in names if name != place.name]
    if others and not place.url:
        raise UserError(
            f"{place.journal} holds the sweep {others[0]!r}, and a journal holds one sweep alone; "
            f"say --name {others[0]} in a folder of that name, or choose another --name."
        )
    return names


def redacted_url(url: str) -> str:
    """The address of a database as it may be shown: without user and password."""
    return redacted(_without_password(url, url))


@contextmanager
def refusing(place: Place) -> Iterator[None]:
    """What goes wrong with the storage in this block is told in a sentence without passwords.

    Raises:
        UserError: it did.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    where = redacted_url(place.url) if place.url else str(place.journal)
    try:
        yield
    except (ImportError, ArgumentError) as error:
        why = _without_password(reason(error), place.url)
        raise UserError(
            f"The storage {where} cannot be opened ({why}); write it as "
            f"postgresql://user@host/name or sqlite:///file.db, and install its driver ({EXTRA})."
        ) from None
    except (SQLAlchemyError, StorageInternalError) as error:
        why = _without_password(reason(error), place.url)
        raise UserError(
            f"The storage {where} cannot be reached ({why}); check host, user and password, and "
            "that the database is there."
        ) from None
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{where} is damaged ({_without_password(str(error), place.url)}); move it away and "
            "begin the sweep anew."
        ) from None
    except OSError as error:
        raise UserError(
            f"{where} cannot be used ({error.strerror or error}); choose another folder."
        ) from None


def _quiet() -> None:
    """Trials are told by us, and what is experimental is pinned."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    logging.getLogger("alembic").setLevel(logging.WARNING)


class LockOfTheSystem:
    """What Optuna takes as the lock of a journal: free at once when its process is killed."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        """Wait until no other process writes."""
        self._lock.acquire()
        return True

    def release(self) -> None:
        """Let others write."""
        self._lock.release()


def _journal(path: Path) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.parent.mkdir(parents=True, exist_ok=True)
    lock: Any = LockOfTheSystem(path.with_name(f".{path.name}.lock"))
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _database(url: str) -> BaseStorage:
    from optuna.storages import RDBStorage

    scheme = urlsplit(url).scheme
    waits: dict[str, Any] = {}
    if scheme.startswith(("postgres", "mysql")):
        waits = {"connect_timeout": _CONNECT_SECONDS}
    elif scheme.startswith("sqlite"):
        waits = {"timeout": 60}
    return RDBStorage(
        _with_driver(url, scheme),
        engine_kwargs={"connect_args": waits, "pool_pre_ping": True},
        heartbeat_interval=HEARTBEAT_SECONDS,
        grace_period=GRACE_SECONDS,
    )


def _with_driver(url: str, scheme: str) -> str:
    """PostgreSQL by psycopg 3 where that is what is installed."""
    if scheme not in ("postgres", "postgresql"):
        return url
    driver = "postgresql+psycopg" if importlib.util.find_spec("psycopg") else "postgresql"
    return driver + url.removeprefix(scheme)


def _without_password(text: str, url: str) -> str:
    """Also where a message repeats the password alone, or written otherwise."""
    passwords: set[str] = set()
    _, at, _ = url.rpartition("@")
    if at:
        user = url.partition("://")[2].rpartition("@")[0]
        passwords.add(user.partition(":")[2])
    for password in passwords - {""}:
        text = text.replace(password, "***").replace(unquote(password), "***")
    return text
