"""What went wrong between here and MLflow, in words for people."""

from __future__ import annotations

import sqlite3

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


def reason(error: BaseException) -> str:
    """The root of a fault on one line, without passwords.

    MLflow, requests and urllib3 each wrap "Connection refused" in a sentence of their own.
    """
    root = error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError | sqlite3.Error):
            root = cause
        cause = cause.__cause__ or cause.__context__
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    lines = str(root).strip().splitlines()
    return redacted(lines[0])[:300] if lines else type(root).__name__
