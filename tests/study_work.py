"""Work for other processes, which import it from here."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from transfer_kit.errors import UserError


def do(task: str) -> None:
    """`write PATH` leaves a file with the number of OpenCV's threads, `gpu PATH` one with the
    GPUs that its process sees; others go wrong."""
    what, _, where = task.partition(" ")
    if what == "fail":
        raise UserError("It cannot be done; do another.")
    if what == "break":
        raise ZeroDivisionError("a fault of the program")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    import cv2

    said = f"{cv2.getNumThreads()} {os.environ['OMP_NUM_THREADS']}"
    if what == "gpu":
        said = os.environ["CUDA_VISIBLE_DEVICES"]
    Path(where).write_text(said, encoding="utf-8")
