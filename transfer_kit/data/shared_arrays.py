"""Arrays that worker processes share, in a temporary file that no process leaves behind."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from transfer_kit.errors import UserError

NAMELESS = sys.platform != "win32"
"""Whether an open file may lose its name, and be handed to a worker by its descriptor."""


@dataclass(frozen=True)
class Stored:
    """Where an array lies in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: DTypeLike


class SharedArrays:
    """Arrays one after another in a temporary file that is memory-mapped for reading.

    The operating system holds each page once for all processes, whether they were forked or
    spawned (pickling sends the file, not the arrays), and drops pages when memory runs short;
    shared memory (`/dev/shm`) would count against the often small limit of a container. One file
    needs one file handle however many arrays there are.

    The file has no name: the system frees it with the last process that holds it, however that
    process ends. Where open files must keep their names (Windows), the process that made it
    removes it, unless it is killed.

    Args:
        folder: Where the file goes; the system's temporary folder by default.

    Raises:
        UserError: the folder cannot be written.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        self._bytes: NDArray[np.uint8] | None = None
        try:
            self._file, self._path = _temporary_file(self._folder)
        except OSError as error:
            raise _not_written(self._folder, error) from error
        self.close = weakref.finalize(self, _end, self._file, self._path, os.getpid())
        """Give the file up; arrays that were handed out stay valid."""

    def add(self, array: NDArray[Any]) -> Stored:
        """Write an array; the value finds it again.

        Raises:
            UserError: no space is left.
        """
        # Aligned, so that int32 maps can be viewed in place.
        offset = self._file.tell() + -self._file.tell() % 64
        try:
            self._file.write(b"\0" * (offset - self._file.tell()))
            self._file.write(np.ascontiguousarray(array).data)
            self._file.flush()
        except OSError as error:
            raise _not_written(self._folder, error) from error
        self._bytes = None
        return Stored(offset, array.shape, array.dtype.str)

    def __getitem__(self, stored: Stored) -> NDArray[Any]:
        if self._bytes is None:
            self._bytes = _mapped(self._file.fileno())
        dtype = np.dtype(stored.dtype)
        length = int(np.prod(stored.shape)) * dtype.itemsize
        part = self._bytes[stored.offset : stored.offset + length]
        return part.view(dtype).reshape(stored.shape)

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self._folder, "file": self._path or _descriptor(self._file)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._folder, self._bytes = state["folder"], None
        self._path = None  # it is not this process's to remove
        named = isinstance(state["file"], Path)
        self._file = state["file"].open("rb") if named else os.fdopen(state["file"].detach(), "rb")
        self.close = weakref.finalize(self, _end, self._file, self._path, os.getpid())


def _temporary_file(folder: Path) -> tuple[IO[bytes], Path | None]:
    if NAMELESS:
        return tempfile.TemporaryFile(prefix="transfer-kit-images-", dir=folder), None
    handle, name = tempfile.mkstemp(prefix="transfer-kit-images-", suffix=".bin", dir=folder)
    return os.fdopen(handle, "w+b"), Path(name)


def _descriptor(file: IO[bytes]) -> Any:
    """The open file as something that can be pickled for a worker."""
    from multiprocessing.reduction import DupFd

    return DupFd(file.fileno())


def _mapped(descriptor: int) -> NDArray[np.uint8]:
    if not os.fstat(descriptor).st_size:
        return np.zeros(0, np.uint8)
    return np.frombuffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ), np.uint8)


def _end(file: IO[bytes], path: Path | None, process: int) -> None:
    with suppress(OSError):  # what a full disk did not take is not needed any more
        file.close()
    # A forked worker inherits the finaliser, and must leave the file to its parent.
    if path is not None and os.getpid() == process:
        path.unlink(missing_ok=True)


def _not_written(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"The decoded images cannot be written to {folder} ({error.strerror}); "
        f"set TMPDIR to a folder with space."
    )
