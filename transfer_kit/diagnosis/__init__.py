"""The checks behind `transfer-kit doctor`: what of an installation works, and the mend."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from transfer_kit.diagnosis import imports, surroundings
from transfer_kit.diagnosis.check import Check, Status

__all__ = ["Check", "Status", "diagnose"]

# Each import takes one processor for some seconds.
IMPORTS_AT_ONCE = 3


def diagnose(folder: Path | None = None) -> list[Check]:
    """All checks; imports are tried in processes of their own, some at a time.

    Args:
        folder: The working folder; default the current one.
    """
    working = (folder or Path.cwd()).absolute()
    with ThreadPoolExecutor(max_workers=IMPORTS_AT_ONCE) as pool:
        torch = pool.submit(imports.probe_torch)
        checks: dict[str, Callable[[], Check]] = {
            "torchvision": imports.check_torchvision,
            "opencv": imports.check_opencv,
            "mlflow": imports.check_mlflow,
            "albumentations": imports.check_albumentations,
            "python": surroundings.check_python,
            "torch": lambda: imports.check_torch(torch.result()),
            "gpu": lambda: imports.check_gpu(torch.result()),
            "threads": lambda: imports.check_threads(torch.result()),
            "working folder": lambda: surroundings.check_writable("working folder", working),
            "store folder": surroundings.check_store_folder,
            "disk": lambda: surroundings.check_disk(working),
            "tracking store": surroundings.check_tracking_store,
            "shipped files": surroundings.check_shipped,
            "data folders": surroundings.check_data_folders,
        }
        found = {name: pool.submit(_survived, name, check) for name, check in checks.items()}
        first = ("python", "torch", "torchvision", "gpu", "threads")
        order = [*first, *(name for name in checks if name not in first)]
        return [found[name].result() for name in order]


def _survived(name: str, check: Callable[[], Check]) -> Check:
    """A check that breaks is a finding, too: something it needs is broken."""
    try:
        return check()
    except Exception as error:
        said = f"could not be looked at ({type(error).__name__}: {error})"
        return Check(name, "failed", said, "install transfer-kit again")
