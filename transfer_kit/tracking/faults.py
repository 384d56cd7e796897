"""What went wrong between here and MLflow, in words for people."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from transfer_kit.tracking.location import redacted

# MLflow answers these for what it will never take, however often it is sent.
_REFUSALS = frozenset(
    {
        "INVALID_PARAMETER_VALUE",
        "BAD_REQUEST",
        "RESOURCE_DOES_NOT_EXIST",
        "RESOURCE_ALREADY_EXISTS",
        "INVALID_STATE",
        "MAX_BATCH_SIZE_EXCEEDED",
    }
)


def is_refusal(error: Exception) -> bool:
    """Whether sending the same again cannot help."""
    code = getattr(error, "error_code", None)
    if code is not None:
        return code in _REFUSALS
    return isinstance(error, FileNotFoundError) or not isinstance(error, OSError)


def is_away(error: BaseException) -> bool:
    """Whether a server could not be reached or is in trouble, rather than refuses us."""
    if any(isinstance(each, OSError) for each in _chain(error)):
        return True
    status = getattr(error, "get_http_status_code", lambda: 500)()
    return int(status) >= 500 or int(status) == 429


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def reason(error: BaseException) -> str:
    """The root of a fault on one line, without passwords.

    MLflow, requests and urllib3 each wrap "Connection refused" in a sentence of their own.
    """
    root = error
    for cause in _chain(error):
        if isinstance(cause, OSError | sqlite3.Error):
            root = cause
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    lines = str(root).strip().splitlines()
    return redacted(lines[0])[:300] if lines else type(root).__name__
