"""Checkpoints that nobody goes on from."""

from __future__ import annotations

import shutil

from transfer_kit.sweeps.opened import Opened
from transfer_kit.sweeps.standing import standing_of
from transfer_kit.sweeps.trial import CHECKPOINTS


def remove_checkpoints(opened: Opened) -> None:
    """Remove those of finished trials on this machine, but for the ones that none beats yet."""
    standing = standing_of(opened)
    kept = {slot.number for slot in standing.front}
    for slot in standing.finished:
        if slot.number not in kept:
            folder = opened.place.trial(slot.number) / CHECKPOINTS
            shutil.rmtree(folder, ignore_errors=True)
