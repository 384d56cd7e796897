"""The MLflow store: opening it, its experiments, its newest run."""

from __future__ import annotations

import getpass
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import transfer_kit
from transfer_kit.errors import UserError
from transfer_kit.tracking.faults import reason
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
from transfer_kit.tracking.operations import Start, read_lines
from transfer_kit.tracking.outbox import Outbox
from transfer_kit.tracking.run import TrackedRun
from transfer_kit.tracking.sender import Sender

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Tells MLflow's interface to open the experiment in its view for trainings.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


@dataclass(frozen=True)
class Tracking:
    """An experiment in a store; `start_run` begins runs in it.

    Attributes:
        client: MLflow's own client, for what is not here.
        store: The address of the store; `redacted` before it is printed.
        experiment: Its name: the target.
        experiment_id: MLflow's identifier of it.
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
        folder: Path | None = None,
        run_id: str | None = None,
    ) -> TrackedRun:
        """A run, for a `with` block.

        Args:
            name: As the tables show it.
            tags: `base target model codec freeze gamma stain labels` and others.
            parent_run_id: The study or sweep that the run is nested in.
            folder: The run's folder; default the one that `open_tracking` got, else a new one in
                `runs/` of the working folder, made when there is something to write.
            run_id: Goes on with this run of an interrupted training.
        """
        start = Start(
            run_id=run_id or "",
            experiment_id=self.experiment_id,
            name=name,
            tags=_all_tags(tags, parent_run_id),
            time_ms=time.time_ns() // 1_000_000,
        )
        new_folder = Path("runs") / f"{name}-{secrets.token_hex(4)}"
        own_folder = (folder or self.folder or new_folder).absolute()
        return TrackedRun(Sender(self.client), start, own_folder, store=redacted(self.store))

    def experiment_url(self, port: int = 5000) -> str:
        """The page that lists this experiment's runs, while `transfer-kit ui` or a server runs."""
        return experiment_page(ui_root(self.store, port), self.experiment_id)

    def run_url(self, run_id: str, port: int = 5000) -> str:
        """The page of one run."""
        return run_page(ui_root(self.store, port), self.experiment_id, run_id)


def open_tracking(experiment: str, *, folder: Path | None = None) -> Tracking:
    """The experiment in the store that `MLFLOW_TRACKING_URI` names.

    Without the variable, runs go to `mlflow.db` and their files to `mlartifacts/` of the current
    folder.

    Args:
        experiment: Its name: the target. Made where it does not exist.
        folder: The folder of the run that is to be started; `unsent.jsonl` is written there.

    Raises:
        UserError: the store cannot be opened, or the experiment was deleted in it.
    """
    uri = store_uri()
    client = open_client(uri)
    experiment_id = _experiment_id(client, experiment, artifact_root(uri))
    return Tracking(client, uri, experiment, experiment_id, folder)


def open_client(uri: str) -> MlflowClient:
    """MLflow's client for a store that has answered.

    Raises:
        UserError: the store cannot be opened.
    """
    if uri.startswith(SQLITE):
        prepare_sqlite(uri)
    quiet_mlflow()
    from mlflow import MlflowClient

    quiet_mlflow()  # the import sets its loggers up anew
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        raise UserError(_why_closed(uri, error)) from None
    return client


def newest_experiment(client: MlflowClient) -> str | None:
    """Identifier of the experiment of the newest run; None where there is no run."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time DESC"], max_results=1)
    return str(runs[0].info.experiment_id) if runs else None


def send_unsent(file: Path, client: MlflowClient, *, store: str) -> int:
    """Send what an `unsent.jsonl` holds; returns how many records still could not be sent.

    Raises:
        UserError: the file does not say which run it is of.
    """
    start = next((each for each in read_lines(file) if isinstance(each, Start)), None)
    if start is None:
        raise UserError(f"{file} does not say which run it belongs to; delete it.")
    sender = Sender(client)
    sender.run_id, sender.experiment_id = start.run_id, start.experiment_id
    outbox = Outbox(
        sender.send, lambda: start._replace(run_id=sender.run_id), file, store=redacted(store)
    )
    if not start.run_id:
        outbox.put(start)
    outbox.open()
    outbox.close()
    return len(outbox)


def _experiment_id(client: MlflowClient, name: str, root: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, root, _EXPERIMENT_TAGS))
        except MlflowException as error:
            found = client.get_experiment_by_name(name)  # another process was first
            if found is None:
                raise UserError(
                    f"The experiment {name!r} cannot be made in MLflow ({reason(error)}); "
                    "choose another name."
                ) from None
    if found.lifecycle_stage != "active":
        raise UserError(
            f"The experiment {name!r} lies in MLflow's trash; take it out with `mlflow experiments "
            f"restore --experiment-id {found.experiment_id}`."
        )
    return str(found.experiment_id)


def _why_closed(uri: str, error: Exception) -> str:
    why = reason(error)
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
