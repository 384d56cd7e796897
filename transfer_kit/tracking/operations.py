"""What a run tells MLflow, as small records that can be kept in a file and sent later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple


class Start(NamedTuple):
    """The run begins, or goes on where `run_id` is given or a run with its `key` is there.

    Attributes:
        run_id: MLflow's identifier; empty until MLflow has given one.
        experiment_id: MLflow's identifier; empty where the store had not answered yet.
        name: As the tables show it.
        tags: That the run starts with.
        time_ms: When it began.
        key: Our own identifier, by which a run is found again that MLflow made without our hearing
            of it. Empty in files of older versions.
        experiment: Its name.
        parent_key: The key of the run that it is nested in.
        store: Address of the store, redacted.
    """

    run_id: str
    experiment_id: str
    name: str
    tags: dict[str, str]
    time_ms: int
    key: str = ""
    experiment: str = ""
    parent_key: str = ""
    store: str = ""


class MetricValue(NamedTuple):
    """One figure at one step."""

    key: str
    value: float
    step: int
    time_ms: int


class ParamValue(NamedTuple):
    """One field of the recipe."""

    key: str
    value: str


class TagValue(NamedTuple):
    """One tag."""

    key: str
    value: str


class LinkTag(NamedTuple):
    """A tag that holds MLflow's identifier of another run, which is known by its key."""

    key: str
    run_key: str


class DatasetUsed(NamedTuple):
    """Part of a dataset and what it was used for."""

    name: str
    digest: str
    context: str
    source: str
    n_images: int
    n_nuclei: int


class ArtifactFile(NamedTuple):
    """A file or folder on this machine, and the folder of the run that it goes to."""

    path: str
    folder: str


class DetectorFile(NamedTuple):
    """A weights file that becomes a logged model."""

    path: str
    name: str


class End(NamedTuple):
    """The run ended: FINISHED, FAILED or KILLED."""

    status: str
    time_ms: int


Operation = (
    Start
    | MetricValue
    | ParamValue
    | TagValue
    | LinkTag
    | DatasetUsed
    | ArtifactFile
    | DetectorFile
    | End
)

MOST_AT_ONCE: dict[type, int] = {MetricValue: 500, ParamValue: 100, TagValue: 100, DatasetUsed: 100}
"""How many of a kind one request may carry (MLflow's limits: 1000 metrics, 100 params or tags)."""

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Start,
        MetricValue,
        ParamValue,
        TagValue,
        LinkTag,
        DatasetUsed,
        ArtifactFile,
        DetectorFile,
        End,
    )
}


def to_line(operation: Operation) -> str:
    """One line of JSON."""
    return json.dumps({"what": type(operation).__name__, **operation._asdict()})


def read_lines(path: Path) -> list[Operation]:
    """The operations of a file that `to_line` wrote; a line cut short by a crash is left out."""
    read = (_from_line(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [operation for operation in read if operation is not None]


def _from_line(line: str) -> Operation | None:
    try:
        fields = json.loads(line)
        operation: Operation = _KINDS[fields.pop("what")](**fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return operation
