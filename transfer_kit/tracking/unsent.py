"""Sending later what a store could not take when it was said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_kit.errors import UserError
from transfer_kit.process_lock import ProcessLock
from transfer_kit.tracking.location import redacted
from transfer_kit.tracking.operations import Start, read_lines
from transfer_kit.tracking.outbox import Outbox
from transfer_kit.tracking.sender import Sender
from transfer_kit.tracking.unsent_file import unsent_lock

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Sent:
    """What came of sending one file.

    Attributes:
        n_sent: Records that arrived.
        n_unsent: Records that could not be sent; they are still in the file.
        n_refused: Records that MLflow will never take; they are still in the file.
        why: Why something was left, in words; empty where all arrived.
    """

    file: Path
    n_sent: int = 0
    n_unsent: int = 0
    n_refused: int = 0
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "file": str(self.file)}


def unsent_files(folders: Iterable[Path]) -> list[Path]:
    """The files of unsent records in folders and below."""
    return sorted({file for folder in folders for file in folder.glob("**/unsent*.jsonl")})


def count_unsent(folder: Path) -> int:
    """Records that a run's folder keeps unsent, those of its training from scratch too."""
    return sum(
        not isinstance(each, Start) for file in unsent_files([folder]) for each in read_lines(file)
    )


def send_unsent(
    files: Sequence[Path], client: MlflowClient, *, store: str, anywhere: bool = False
) -> Iterator[Sent]:
    """Send what files of unsent records hold, each once; gives what came of each file.

    It may be killed at any moment and called again: what has arrived already is not there twice.
    Runs may belong to others whose files come later; those are tried again at the end.

    Args:
        files: From `unsent_files`.
        client: Of the store.
        store: Its address.
        anywhere: Also send runs that began with another address and never got to its store.
    """
    left, before = list(files), dict[Path, int]()
    while True:
        waiting = []
        for file in left:
            sent = _send_file(file, client, store=store, anywhere=anywhere)
            if sent.n_unsent and len(files) > 1:
                waiting.append(sent)
            else:
                yield sent
        now = {sent.file: sent.n_unsent for sent in waiting}
        if now == before:
            yield from waiting
            return
        left, before = list(now), now


def _send_file(file: Path, client: MlflowClient, *, store: str, anywhere: bool) -> Sent:
    lock = unsent_lock(file)
    if not lock.acquire():
        return Sent(file, why="left to its run, which is still going on")
    try:
        if not file.exists():  # its run sent it meanwhile
            return Sent(file)
        operations = read_lines(file)
        start = next((each for each in operations if isinstance(each, Start)), None)
        if start is None:
            raise UserError(f"{file} does not say which run it belongs to; delete it.")
        n_left = len(operations) - 1
        why = _why_elsewhere(start, client, store=store, anywhere=anywhere)
        if why:
            return Sent(file, n_unsent=n_left, why=why)
        outbox = _outbox(file, start, client, store, lock)
        outbox.send_all()
        n_refused, n_unsent = len(outbox.refused), len(outbox)
        why = outbox.fault if n_unsent else "MLflow refuses it" if n_refused else ""
        return Sent(file, max(0, n_left - n_unsent - n_refused), n_unsent, n_refused, why)
    finally:
        lock.release()


def _outbox(
    file: Path, start: Start, client: MlflowClient, store: str, lock: ProcessLock
) -> Outbox:
    sender = Sender(client, store)
    outbox = Outbox(
        sender.send,
        lambda: start._replace(
            run_id=sender.run_id or start.run_id,
            experiment_id=sender.experiment_id or start.experiment_id,
        ),
        file,
        store=redacted(store),
        lock=lock,
    )
    outbox.put(start)
    return outbox


def _why_elsewhere(start: Start, client: MlflowClient, *, store: str, anywhere: bool) -> str:
    """Why a run does not belong into this store; empty where it does."""
    from mlflow.exceptions import MlflowException

    where = start.store or "the store that it began in"
    if not start.run_id:
        if anywhere or start.store in ("", redacted(store)):
            return ""
        return f"it began with {where}, not {redacted(store)}; set MLFLOW_TRACKING_URI to that"
    try:
        client.get_run(start.run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            return ""  # sending will tell
        return f"its run is not in {redacted(store)}; set MLFLOW_TRACKING_URI to {where}"
    return ""
