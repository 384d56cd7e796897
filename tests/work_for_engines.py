"""What the engines' tests let tasks do; another process imports it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from transfer_kit.errors import UserError


@dataclass(frozen=True)
class Job:
    """A task: writes its number into a file, in the end."""

    number: int
    home: Path
    seconds: float = 0.0
    fails: str = ""

    @property
    def file(self) -> Path:
        return self.home / "made" / f"{self.number}.txt"


def make_file(job: Job) -> None:
    begun = job.home / "begun"
    begun.mkdir(parents=True, exist_ok=True)
    (begun / f"{job.number}-{time.time_ns()}").touch()
    time.sleep(job.seconds)
    if job.fails == "user":
        raise UserError("This was refused; mend it.")
    if job.fails == "fault":
        raise ZeroDivisionError("a fault of the program")
    job.file.parent.mkdir(parents=True, exist_ok=True)
    job.file.write_text(str(job.number))
