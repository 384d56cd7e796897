"""The MLflow store: opening it, its experiments, its newest run."""

from __future__ import annotations

import getpass
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import transfer_kit
from transfer_kit.errors import UserError
from transfer_kit.tracking.experiments import experiment_id_of
from transfer_kit.tracking.faults import is_away, reason
from transfer_kit.tracking.links import experiment_page, run_page, ui_root
from transfer_kit.tracking.location import (
    SQLITE,
    artifact_root,
    is_server,
    prepare_sqlite,
    quiet_mlflow,
    redacted,
    sqlite_path,
    store_uri,
)
from transfer_kit.tracking.operations import Start
from transfer_kit.tracking.outbox import PATIENCE_SECONDS
from transfer_kit.tracking.run import END_SECONDS, START_SECONDS, TrackedRun
from transfer_kit.tracking.sender import Sender

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("transfer_kit.tracking")

ANSWER_SECONDS = 2.0
"""How long a server gets to answer before a training begins without it."""
LOCAL_END_SECONDS = (300.0, 60.0)
"""How long a run's end waits for a file or database, and where a single request takes long."""


@dataclass(frozen=True)
class Tracking:
    """An experiment in a store; `start_run` begins runs in it.

    Attributes:
        client: MLflow's own client, for what is not here.
        store: The address of the store; `redacted` before it is printed.
        experiment: Its name: the target.
        experiment_id: MLflow's identifier of it; empty where a server has not answered yet.
        folder: The folder of its run, where one was named.
    """

    client: MlflowClient
    store: str
    experiment: str
    experiment_id: str
    folder: Path | None = None

    def start_run(
        self,
        name: str,
        *,
        tags: Mapping[str, str],
        parent_run_id: str | None = None,
        parent_key: str = "",
        folder: Path | None = None,
        run_id: str | None = None,
        key: str | None = None,
        began_ms: int | None = None,
    ) -> TrackedRun:
        """A run, for a `with` block.

        Args:
            name: As the tables show it.
            tags: `base target model codec freeze gamma stain labels` and others.
            parent_run_id: The study or sweep that the run is nested in.
            parent_key: The same by its key, for a parent that MLflow may not have met yet.
            folder: The run's folder; default the one that `open_tracking` got, else a new one in
                `runs/` of the working folder, made when there is something to write.
            run_id: Goes on with this run of an interrupted training.
            key: Goes on with the run that was started with this key, if there is one; default a
                new one.
            began_ms: When the run first began, where it goes on.
        """
        start = Start(
            run_id=run_id or "",
            experiment_id=self.experiment_id,
            name=name,
            tags=_all_tags(tags, parent_run_id),
            time_ms=time.time_ns() // 1_000_000,
            key=key or new_run_key(),
            experiment=self.experiment,
            parent_key=parent_key,
            store=redacted(self.store),
        )
        new_folder = Path("runs") / f"{name}-{secrets.token_hex(4)}"
        own_folder = (folder or self.folder or new_folder).absolute()
        # A file or database that is slow is so because the machine is busy.
        at_end = (END_SECONDS, PATIENCE_SECONDS) if is_server(self.store) else LOCAL_END_SECONDS
        return TrackedRun(
            Sender(self.client, self.store),
            start,
            own_folder,
            wait_seconds=self._seconds_to_start(),
            end_seconds=at_end[0],
            patience_seconds=at_end[1],
            began_ms=began_ms,
        )

    def _seconds_to_start(self) -> float:
        """How long a run may wait for its identifier; a server that was away gets no time."""
        if not is_server(self.store):
            return START_SECONDS
        return ANSWER_SECONDS if self.experiment_id else 0.0

    def experiment_url(self, port: int = 5000) -> str:
        """The page that lists this experiment's runs, while `transfer-kit ui` or a server runs."""
        return experiment_page(ui_root(self.store, port), self.experiment_id)

    def run_url(self, run_id: str, port: int = 5000) -> str:
        """The page of one run."""
        return run_page(ui_root(self.store, port), self.experiment_id, run_id)


def new_run_key() -> str:
    """An identifier for a run, before MLflow has given one."""
    return secrets.token_hex(16)


def open_tracking(experiment: str, *, folder: Path | None = None) -> Tracking:
    """The experiment in the store that `MLFLOW_TRACKING_URI` names.

    Without the variable, runs go to `mlflow.db` and their files to `mlartifacts/` of the current
    folder. A server that does not answer is told of and not waited for: what its runs say is kept
    until it does.

    Args:
        experiment: Its name: the target. Made where it does not exist.
        folder: The folder of the run that is to be started; `unsent.jsonl` is written there.

    Raises:
        UserError: the store cannot be opened or refuses us, or the experiment was deleted in it.
    """
    uri = store_uri()
    if not is_server(uri):
        client = open_client(uri)
        experiment_id = experiment_id_of(client, experiment, artifact_root(uri))
        return Tracking(client, uri, experiment, experiment_id, folder)
    client = _client(uri)
    try:
        found = _in_time(lambda: experiment_id_of(client, experiment, None))
    except UserError:
        raise
    except Exception as error:
        if not is_away(error):
            raise UserError(_why_closed(uri, error)) from None
        log.warning(_goes_on_without(uri, reason(error)))
        found = ""
    if found is None:
        log.warning(_goes_on_without(uri, f"nothing in {ANSWER_SECONDS:g} s"))
    return Tracking(client, uri, experiment, found or "", folder)


def _in_time(ask: Callable[[], str]) -> str | None:
    """What `ask` gives or raises; None where that takes too long, and then it is left alone."""
    answer: list[str] = []
    faults: list[Exception] = []

    def work() -> None:
        try:
            answer.append(ask())
        except Exception as error:  # raised in the caller's thread below
            faults.append(error)

    thread = threading.Thread(target=work, name="mlflow-opening", daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if faults:
        raise faults[0]
    return answer[0] if answer else None


def _goes_on_without(uri: str, why: str) -> str:
    return (
        f"The MLflow server {redacted(uri)} does not answer ({why}); the training goes on, and "
        "what it says is kept in its run folder: it is tried again, and `transfer-kit runs sync` "
        "sends it later."
    )


def open_client(uri: str) -> MlflowClient:
    """MLflow's client for a store that has answered.

    Raises:
        UserError: the store cannot be opened.
    """
    if uri.startswith(SQLITE):
        prepare_sqlite(uri)
    try:
        client = _client(uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        raise UserError(_why_closed(uri, error)) from None
    return client


def _client(uri: str) -> MlflowClient:
    quiet_mlflow()
    from mlflow import MlflowClient

    quiet_mlflow()  # the import sets its loggers up anew
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _why_closed(uri: str, error: Exception) -> str:
    why = reason(error)
    if is_server(uri) and not is_away(error):
        return (
            f"The MLflow server {redacted(uri)} refuses to be used ({why}); check the address, "
            "user and password in MLFLOW_TRACKING_URI (or MLFLOW_TRACKING_USERNAME, "
            "MLFLOW_TRACKING_PASSWORD and MLFLOW_TRACKING_TOKEN)."
        )
    if is_server(uri):
        return (
            f"The MLflow server {redacted(uri)} does not answer ({why}); start it, or unset "
            "MLFLOW_TRACKING_URI to store runs in mlflow.db of the working folder."
        )
    if "out-of-date" in why or "Can't locate revision" in why:
        return (
            f"{redacted(uri)} was made by another version of MLflow; keep a copy and run "
            f"`mlflow db upgrade {redacted(uri)}`, or install the MLflow that made it."
        )
    if uri.startswith(SQLITE):
        return (
            f"{sqlite_path(uri)} cannot be opened as an MLflow store ({why}); move it away, and a "
            "new one is made."
        )
    return f"The MLflow store {redacted(uri)} cannot be opened ({why}); see MLFLOW_TRACKING_URI."


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        return "unknown"


def _all_tags(tags: Mapping[str, str], parent_run_id: str | None) -> dict[str, str]:
    everything = {
        "mlflow.user": _user(),
        "mlflow.source.name": "transfer-kit",
        "mlflow.source.type": "LOCAL",
        "transfer_kit.version": transfer_kit.__version__,
    }
    if parent_run_id:
        everything["mlflow.parentRunId"] = parent_run_id
    return {**everything, **{key: str(value) for key, value in tags.items()}}
