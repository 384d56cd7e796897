"""One run: what the training says to MLflow, in calls that cost microseconds and never fail."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from transfer_kit.tracking.operations import (
    ArtifactFile,
    DatasetUsed,
    DetectorFile,
    End,
    LinkTag,
    MetricValue,
    ParamValue,
    Start,
    TagValue,
)
from transfer_kit.tracking.outbox import PATIENCE_SECONDS, Outbox
from transfer_kit.tracking.sender import Sender
from transfer_kit.tracking.system_metrics import Sample, SystemMetrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNSENT = "unsent.jsonl"
START_SECONDS = 30.0
"""How long a store on this machine gets to begin a run."""
END_SECONDS = 30.0
"""How long a store that answers well gets for what is left at the end: the detector, mostly."""
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_KEY = 250
LONGEST_DIGEST = 16
_CUT = " … (cut)"
_NOT_IN_KEYS = re.compile(r"[^/\w.\- ]")


class TrackedRun:
    """An MLflow run that is written in the background; use it in a `with` block.

    The block's end sends what is left and closes the run: FINISHED, FAILED after an error, KILLED
    after Ctrl-C or SIGTERM. No method raises because of MLflow; see `Outbox` for what is kept.

    Args:
        sender: To the store.
        start: How the run begins.
        folder: See below.
        wait_seconds: How long to wait for the run's identifier.
        end_seconds: How long to wait at the end for what is left.
        patience_seconds: The same for a store that answers slowly or not at all.
        began_ms: When the run first began, which its system metrics count from.

    Attributes:
        folder: The run's folder: figures and, after a fault, `unsent.jsonl` are written there.
    """

    def __init__(
        self,
        sender: Sender,
        start: Start,
        folder: Path,
        *,
        wait_seconds: float = START_SECONDS,
        end_seconds: float = END_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        began_ms: int | None = None,
    ) -> None:
        self.folder = folder
        self._sender = sender
        self._start = start
        self._wait_seconds = wait_seconds
        self._end_seconds = end_seconds
        self._patience_seconds = patience_seconds
        self._status: str | None = None
        self._outbox = Outbox(sender.send, self._started, folder / UNSENT, store=start.store)
        self._system = SystemMetrics(self.log_system, began_ms=began_ms or start.time_ms)

    @property
    def run_id(self) -> str:
        """MLflow's identifier; empty while the store could not be reached since the start."""
        return self._sender.run_id

    @property
    def key(self) -> str:
        """Our own identifier, which is known from the start."""
        return self._start.key

    @property
    def n_unsent(self) -> int:
        """How many records have not arrived yet."""
        return len(self._outbox)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """The recipe, flattened to `train.steps`; values over 6000 characters are cut."""
        for key, value in flattened(params).items():
            self._outbox.put(ParamValue(_key(key), _cut(value, LONGEST_PARAM)))

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Figures at a step; characters that MLflow refuses in names become underscores."""
        now = _now_ms()
        for key, value in metrics.items():
            self._outbox.put(MetricValue(_key(key), float(value), int(step), now))

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Tags in addition to those that the run started with."""
        for key, value in tags.items():
            self._outbox.put(TagValue(_key(key), _cut(str(value), LONGEST_TAG)))

    def log_link(self, tag: str, other: TrackedRun) -> None:
        """A tag that holds the identifier of another run, also where MLflow has yet to give it."""
        self._outbox.put(LinkTag(_key(tag), other.key))

    def log_system(self, sample: Sample) -> None:
        """Load and memory of the machine at one moment."""
        for key, value in sample.values.items():
            self._outbox.put(MetricValue(_key(key), value, sample.step, sample.time_ms))

    def log_dataset(
        self, name: str, digest: str, context: str, *, source: str, n_images: int, n_nuclei: int
    ) -> None:
        """Data that the run used.

        Args:
            name: Of the dataset.
            digest: Content hash; cut to 16 characters and the context appended, since MLflow drops
                a second input of equal name and digest.
            context: training, validation, testing or base.
            source: Folder or address.
            n_images: Images in this part.
            n_nuclei: Annotated nuclei in this part.
        """
        unlike = f"{digest[:LONGEST_DIGEST]}-{context}"
        self._outbox.put(
            DatasetUsed(name[:500], unlike, context, source, int(n_images), int(n_nuclei))
        )

    def log_artifact(self, path: str | Path, folder: str = "") -> None:
        """Copy a file or folder to `folder` of the run; it must stay until the run has ended."""
        self._outbox.put(ArtifactFile(str(Path(path).absolute()), folder))

    def log_figure(self, figure: Figure, name: str, *, dpi: int = 120) -> Path:
        """Write a figure as `name` (`figures/pr_curve.png`) in the run's folder and in MLflow."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=dpi, bbox_inches="tight")
        folder = Path(name).parent.as_posix()
        self.log_artifact(path, "" if folder == "." else folder)
        return path

    def log_detector(self, path: str | Path, name: str = "detector") -> None:
        """The Detector's weights file as a logged model, `runs:/<run_id>/<name>`."""
        cleaned = re.sub(r"""[/:.%"']""", "-", name)
        self._outbox.put(DetectorFile(str(Path(path).absolute()), cleaned))

    def set_status(self, status: str) -> None:
        """End as FINISHED, FAILED or KILLED, whatever ends the block."""
        if status not in ("FINISHED", "FAILED", "KILLED"):
            raise ValueError(f"status must be FINISHED, FAILED or KILLED, but got {status!r}")
        self._status = status

    def wait_until_begun(self, timeout_seconds: float = START_SECONDS) -> None:
        """Wait until MLflow has given the run its identifier, but not longer than the timeout."""
        self._outbox.wait_for_attempt(timeout_seconds)

    def watch_system(self) -> None:
        """From now to the block's end, log the load and memory of the machine."""
        self._system.start()

    def __enter__(self) -> TrackedRun:
        self._outbox.put(self._start)
        self._outbox.open()
        self._outbox.wait_for_attempt(self._wait_seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._system.stop()
        self._outbox.put(End(self._status or _status_after(error), _now_ms()))
        self._outbox.close(self._end_seconds, self._patience_seconds)

    def _started(self) -> Start:
        return self._start._replace(
            run_id=self.run_id or self._start.run_id,
            experiment_id=self._sender.experiment_id or self._start.experiment_id,
        )


def flattened(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted keys with text values.

    Example:
        >>> flattened({"train": {"steps": 500, "crops": [200, 200]}, "base": None})
        {'train.steps': '500', 'train.crops': '[200, 200]', 'base': 'null'}
    """
    flat: dict[str, str] = {}
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            flat.update(flattened(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - len(_CUT)] + _CUT


def _key(name: str) -> str:
    cleaned = _NOT_IN_KEYS.sub("_", name)
    parts = [part for part in cleaned.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:LONGEST_KEY].rstrip("/") or "_"


def _status_after(error: BaseException | None) -> str:
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return "FINISHED"
    stopped = isinstance(error, KeyboardInterrupt) or (
        isinstance(error, SystemExit) and error.code in (130, 143)
    )
    return "KILLED" if stopped else "FAILED"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
