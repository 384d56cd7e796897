"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Before torch is imported: sums depend on the number of threads in their last bit, so tests that
# compare two processes need one number; and pytest's own workers fill the cores already.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parents[1]


def real_data_folder() -> Path | None:
    """The folder of annotated histology, from the environment or beside the checkout."""
    named = os.environ.get("TRANSFER_KIT_DATA")
    for folder in (Path(named) if named else None, REPOSITORY.parent / "shared" / "data"):
        if folder is not None and (folder / "monuseg").is_dir():
            return folder
    return None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of annotated histology; the test is skipped where it is absent."""
    folder = real_data_folder()
    if folder is None:
        pytest.skip("no annotated histology: set TRANSFER_KIT_DATA to a folder that holds monuseg/")
    return folder
