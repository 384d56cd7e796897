"""Sending a run's operations with MLflow's client."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_kit.tracking.operations import (
    ArtifactFile,
    DatasetUsed,
    DetectorFile,
    End,
    MetricValue,
    Operation,
    ParamValue,
    Start,
    TagValue,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("transfer_kit.tracking")


class Sender:
    """Sends operations of one run, in order."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self.run_id = ""
        self.experiment_id = ""

    def send(self, batch: Sequence[Operation]) -> None:
        """Send operations of one kind with one request where MLflow can."""
        first = batch[0]
        if isinstance(first, Start):
            self._start(first)
        elif isinstance(first, MetricValue | ParamValue | TagValue):
            self._log_batch(batch)
        elif isinstance(first, DatasetUsed):
            inputs = [_dataset_input(used) for used in batch if isinstance(used, DatasetUsed)]
            self._client.log_inputs(self.run_id, inputs)
        elif isinstance(first, ArtifactFile):
            self._log_file(first)
        elif isinstance(first, DetectorFile):
            self._log_detector(first)
        elif isinstance(first, End):
            self._client.set_terminated(self.run_id, first.status, first.time_ms)

    def _start(self, start: Start) -> None:
        self.experiment_id = start.experiment_id
        if start.run_id and self._goes_on(start.run_id):
            self.run_id = start.run_id
            return
        run = self._client.create_run(
            start.experiment_id, start_time=start.time_ms, tags=start.tags, run_name=start.name
        )
        self.run_id = str(run.info.run_id)

    def _goes_on(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            log.warning("The MLflow run %s is no longer in the store; a new one goes on.", run_id)
            return False
        return True

    def _log_batch(self, batch: Iterable[Operation]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        values = list(batch)
        self._client.log_batch(
            self.run_id,
            metrics=[
                Metric(each.key, each.value, each.time_ms, each.step)
                for each in values
                if isinstance(each, MetricValue)
            ],
            params=[Param(each.key, each.value) for each in values if isinstance(each, ParamValue)],
            tags=[RunTag(each.key, each.value) for each in values if isinstance(each, TagValue)],
        )

    def _log_file(self, file: ArtifactFile) -> None:
        if Path(file.path).is_dir():
            self._client.log_artifacts(self.run_id, file.path, file.folder or None)
        else:
            self._client.log_artifact(self.run_id, file.path, file.folder or None)

    def _log_detector(self, file: DetectorFile) -> None:
        from transfer_kit.tracking.detector_model import log_detector

        log_detector(
            self._client,
            Path(file.path),
            file.name,
            run_id=self.run_id,
            experiment_id=self.experiment_id,
        )


def _dataset_input(used: DatasetUsed) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    counts = {"num_images": used.n_images, "num_nuclei": used.n_nuclei}
    online = used.source.startswith(("http://", "https://"))
    dataset = Dataset(
        name=used.name,
        digest=used.digest,
        source_type="http" if online else "local",
        source=json.dumps({"url" if online else "uri": used.source}),
        schema=json.dumps(_SCHEMA),
        profile=json.dumps(counts),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", used.context)])


_SCHEMA = {
    "mlflow_colspec": [
        {"name": "image", "type": "binary", "required": True},
        {"name": "x", "type": "float", "required": True},
        {"name": "y", "type": "float", "required": True},
        {"name": "class", "type": "string", "required": True},
    ]
}
