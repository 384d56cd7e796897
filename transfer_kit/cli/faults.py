"""Which errors a user can mend, in one sentence each."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator

from transfer_kit.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_IN_WORDS = ("No space left on device", "StorageFull", "database or disk is full")
_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


class Stopped(Exception):  # noqa: N818 - it is no error
    """Ctrl-C, with how to go on; unlike KeyboardInterrupt it reaches `main` through Typer."""


def in_one_sentence(error: BaseException) -> str | None:
    """What to tell the user of an error, or None where it is a fault of the program."""
    if isinstance(error, UserError):
        return " ".join(str(error).splitlines())
    if any(_is_full(each) for each in _chain(error)):
        return (
            "No space is left on a disk that is written to (the run folder, the MLflow store, "
            "TRANSFER_KIT_HOME or the folder of temporary files); free some and run it again."
        )
    if _is_gpu_memory(error):
        return (
            "The GPU's memory does not suffice; train with a smaller train.batch_size (--set "
            "train.batch_size=2) or patches.size_px, or add --device cpu."
        )
    if isinstance(error, MemoryError):
        return "The memory does not suffice; use fewer or smaller images, or fewer train.workers."
    if isinstance(error, OSError) and error.filename is not None and error.errno in _PLACE:
        return f"{error.filename} cannot be used ({error.strerror}); choose another place."
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    # Writers in other languages (safetensors, torch, SQLite) have exceptions of their own.
    if isinstance(error, OSError):
        return error.errno in _FULL
    return any(words in str(error) for words in _FULL_IN_WORDS)


def _is_gpu_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.cuda.OutOfMemoryError)
