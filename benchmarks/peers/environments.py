"""A virtual environment for each peer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
INSTALLED = "installed"


def python_of(peer: str, environments: Path) -> tuple[str, str]:
    """The interpreter of a peer's environment, made if it is not there; else the reason why not."""
    folder = (environments / peer).resolve()
    python = str(folder / "bin" / "python")
    if (folder / INSTALLED).is_file():
        return python, ""
    print(f"{peer}: installing into {folder}", flush=True)
    needed = REQUIREMENTS / f"{peer}.txt"
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", "--requirement", str(needed)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return "", f"cannot be installed: {last}"
    (folder / INSTALLED).touch()
    return python, ""
