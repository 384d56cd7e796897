"""A lab in a working folder: tiny labelled images, a tiny base, a store, and the command line."""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dataset_folders import write_folder
from mlflow_stores import empty_store
from toy import toy_detector

from transfer_kit.card import TrainingData
from transfer_kit.cli import main

TESTS = Path(__file__).parent
TARGET, OWN, BASE = "eye-lab", "breast-lab", "base.safetensors"
SHORT = (
    "--set",
    "train.steps=16",
    "--set",
    "train.validate_every=4",
    "--set",
    "train.batch_size=2",
    "--set",
    "patches.size_px=48",
    "--device",
    "cpu",
)
"""A training of a second."""


@dataclass(frozen=True)
class Said:
    """What a command wrote, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line of an error, which is the last; there is no traceback."""
        assert self.code == 2, self
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1, self.err
        assert self.err.splitlines()[-1] == lines[0]
        return lines[0].removeprefix("Error: ")


def transfer_kit(*words: object, code: int | None = 0) -> Said:
    """The command line, in this process; `code` None accepts any end."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["transfer-kit", *map(str, words)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        ended: Any = 0
    except SystemExit as stop:
        ended = stop.code or 0
    finally:
        sys.argv = before
    said = Said(ended, out.getvalue(), err.getvalue())
    assert code is None or said.code == code, said
    return said


def listing(folder: Path) -> dict[str, int]:
    """Every file and folder below `folder`, files with their size."""
    return {
        str(path.relative_to(folder)): path.stat().st_size if path.is_file() else -1
        for path in sorted(folder.rglob("*"))
    }


def part_of(dataset: str, split: str, *cases: str) -> TrainingData:
    """What a card says of cases that a base learned from, or that are held out."""
    return TrainingData(
        dataset=dataset,
        organ="breast",
        split=split,
        cases=list(cases),
        n_images=len(cases),
        n_nuclei=9 * len(cases),
        licence="CC0-1.0",
        digest="0" * 64,
    )


def tiny_base(path: Path, **fields: Any) -> Path:
    """A base at half the target's resolution, which learned from one case of its organ."""
    card = {
        "name": "tiny-breast",
        "organ": "breast",
        "mpp": 0.5,
        "threshold": 0.05,
        "data": [part_of(OWN, "train", "c00")],
        "held_out": [part_of(OWN, "test", "c01", "c02")],
    }
    return toy_detector(seed=1, **{**card, **fields}).save(path)


@cache
def furnished() -> Path:
    """A target, the base's own organ, the base and an empty store; to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="transfer-kit-lab-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    splits = {"train": 0.5, "validation": 0.25, "test": 0.25}
    write_folder(
        folder / TARGET, cases=8, per_case=2, side=112, name=TARGET, organ="eye", splits=splits
    )
    write_folder(folder / OWN, cases=3, per_case=1, side=112, seed=9, name=OWN)
    tiny_base(folder / BASE)
    shutil.copy(empty_store(), folder / "mlflow.db")
    return folder


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """The environment of a lab: nothing outside `folder` is read or written."""
    settings = {
        "TRANSFER_KIT_HOME": str(folder / "home"),
        "TRANSFER_KIT_DATA": "",
        "MLFLOW_TRACKING_URI": "",
        "COLUMNS": "200",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        yield


@dataclass(frozen=True)
class Finished:
    """A run of `finetune --json` from the base, compared with one from scratch."""

    folder: Path
    said: Said

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / self.said.json["run"]


WHOLE = ("finetune", "--base", BASE, "--target", TARGET, "--freeze", 2, *SHORT, "--compare-scratch")


@cache
def finished_run() -> Finished:
    """The whole way, once; only to be read."""
    folder = Path(tempfile.mkdtemp(prefix="transfer-kit-run-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(furnished(), folder, dirs_exist_ok=True)
    with working_in(folder):
        return Finished(folder, transfer_kit(*WHOLE, "--json"))


def subprocess_environment() -> dict[str, str]:
    """For a command in a process of its own."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS.parent)}
