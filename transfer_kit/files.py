"""Writing files so that an interruption never leaves half of one."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transfer_kit.errors import UserError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it when the block ends without an error.

    The suffix is kept, since many writers choose their format by it. A folder may be written too.

    Raises:
        UserError: no space is left, or the folder cannot be written.

    Example:
        >>> with replacing("table.csv") as temporary:
        ...     _ = temporary.write_text("x,y")
    """
    final = Path(path)
    temporary = final.with_name(f".{final.stem}.{os.getpid()}{final.suffix}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if temporary.is_dir() and final.is_dir():
            shutil.rmtree(final)
        temporary.replace(final)
    except OSError as error:
        raise _explained(error, final) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):
                temporary.unlink()


def _explained(error: OSError, path: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"No space is left to write {path}; free some or choose another folder.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"{path} cannot be written ({error.strerror}); choose another folder.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return UserError(f"{path.parent} is a file, not a folder; choose another place.")
    return error
