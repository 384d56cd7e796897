"""Experiments and runs of ours in a store, found by name and by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_kit.errors import UserError
from transfer_kit.tracking.faults import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RUN_KEY = "transfer_kit.run_key"
"""The tag that holds a run's key."""

# Tells MLflow's interface to open the experiment in its view for trainings.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


def experiment_id_of(client: MlflowClient, name: str, root: str | None) -> str:
    """MLflow's identifier of an experiment, which is made where it does not exist.

    Args:
        client: Of the store.
        name: Of the experiment.
        root: Where files of a new one go; None where the server decides.

    Raises:
        UserError: the name is refused, or the experiment was deleted.
    """
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


def run_by_key(client: MlflowClient, experiment_id: str, key: str) -> Run | None:
    """The run that was started with `key`; None where there is none."""
    if not key:
        return None
    runs = client.search_runs([experiment_id], f"tags.`{RUN_KEY}` = '{key}'", max_results=1)
    return runs[0] if runs else None


def newest_experiment(client: MlflowClient) -> str | None:
    """Identifier of the experiment of the newest run; None where there is no run."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time DESC"], max_results=1)
    return str(runs[0].info.experiment_id) if runs else None
