"""Sending a run's operations with MLflow's client, each once however often it is tried."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_kit.tracking.experiments import RUN_KEY, experiment_id_of, run_by_key
from transfer_kit.tracking.location import artifact_root
from transfer_kit.tracking.operations import (
    ArtifactFile,
    DatasetUsed,
    DetectorFile,
    End,
    LinkTag,
    MetricValue,
    Operation,
    ParamValue,
    Start,
    TagValue,
)
from transfer_kit.tracking.system_metrics import PREFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("transfer_kit.tracking")


class NotThereYetError(OSError):
    """What is referred to has not arrived in the store; it may, so this is no refusal."""


class Sender:
    """Sends operations of one run, in order.

    A request whose answer was lost may have been carried out, and a process that was killed may not
    have noted what it sent. So everything can be sent again and is there once: runs are found by
    their key, figures that the store has are left out, and a detector is looked for before it is
    logged; parameters, tags, data and files replace themselves.

    Attributes:
        run_id: MLflow's identifier; empty until the run is there.
        experiment_id: Of its experiment.
    """

    def __init__(self, client: MlflowClient, store: str = "") -> None:
        self._client = client
        self._store = store
        self._goes_on = False
        self._in_store: dict[str, set[tuple[int, float]]] = {}
        self.run_id = ""
        self.experiment_id = ""

    def send(self, batch: Sequence[Operation]) -> None:
        """Send operations of one kind with one request where MLflow can."""
        first = batch[0]
        if isinstance(first, Start):
            self._start(first)
        elif isinstance(first, MetricValue | ParamValue | TagValue):
            self._log_batch(batch)
        elif isinstance(first, LinkTag):
            self._client.set_tag(self.run_id, first.key, self._run_of(first.run_key))
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
        self.experiment_id = start.experiment_id or experiment_id_of(
            self._client, start.experiment, artifact_root(self._store)
        )
        if start.run_id and self._reopens(start.run_id):
            return self._go_on(start.run_id, start.key)
        found = run_by_key(self._client, self.experiment_id, start.key)
        if found is not None and self._reopens(found.info.run_id):
            return self._go_on(found.info.run_id, start.key)
        tags = dict(start.tags)
        if start.key:
            tags[RUN_KEY] = start.key
        if start.parent_key:
            tags["mlflow.parentRunId"] = self._run_of(start.parent_key)
        run = self._client.create_run(
            self.experiment_id, start_time=start.time_ms, tags=tags, run_name=start.name
        )
        self.run_id = str(run.info.run_id)
        return None

    def _go_on(self, run_id: str, key: str) -> None:
        if key:
            self._client.set_tag(run_id, RUN_KEY, key)
        self._goes_on = True
        self.run_id = run_id

    def _reopens(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            log.warning("The MLflow run %s is no longer in the store; a new one goes on.", run_id)
            return False
        return True

    def _run_of(self, key: str) -> str:
        run = run_by_key(self._client, self.experiment_id, key)
        if run is None:
            raise NotThereYetError("a run that it belongs to has not arrived yet")
        return str(run.info.run_id)

    def _log_batch(self, batch: Iterable[Operation]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        values = list(batch)
        metrics = [
            Metric(each.key, each.value, each.time_ms, each.step)
            for each in values
            if isinstance(each, MetricValue) and not self._is_in_store(each)
        ]
        params = [Param(each.key, each.value) for each in values if isinstance(each, ParamValue)]
        tags = [RunTag(each.key, each.value) for each in values if isinstance(each, TagValue)]
        if metrics or params or tags:
            self._client.log_batch(self.run_id, metrics=metrics, params=params, tags=tags)

    def _is_in_store(self, metric: MetricValue) -> bool:
        """Whether a run that is gone on with holds this already, perhaps of another time.

        A resumed training records its rounds again, since those of a killed one may not have
        arrived.
        """
        if not self._goes_on or metric.key.startswith(PREFIX):
            return False
        if metric.key not in self._in_store:
            history = self._client.get_metric_history(self.run_id, metric.key)
            self._in_store[metric.key] = {(each.step, _stored(each.value)) for each in history}
        return (metric.step, _stored(metric.value)) in self._in_store[metric.key]

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


def _stored(value: float) -> float:
    """A figure as MLflow's databases hold it; all NaN are one."""
    if math.isnan(value):
        return math.inf
    return max(-sys.float_info.max, min(sys.float_info.max, value))


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
