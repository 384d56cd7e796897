"""Fixtures of `laboratory`: a working folder of one's own, and a finished run to read."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from laboratory import Finished, finished_run, furnished, working_in


@pytest.fixture
def lab(tmp_path) -> Iterator[Path]:
    """The working folder of a lab of its own."""
    folder = tmp_path / "lab"
    shutil.copytree(furnished(), folder)
    with working_in(folder):
        yield folder


@pytest.fixture
def finished() -> Iterator[Finished]:
    """The finished run, in its working folder."""
    run = finished_run()
    with working_in(run.folder):
        yield run


@pytest.fixture
def full_disk(monkeypatch) -> Callable[[str], None]:
    """Makes a writer, named by its place, fail as on a full disk."""

    def fill(writer: str) -> None:
        def fails(*arguments: object, **options: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(writer, fails)

    return fill
