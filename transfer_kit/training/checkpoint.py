"""A checkpoint after every round, from which a training goes on as if nothing had happened."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import torch

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.training import processes
from transfer_kit.training.judge import Judge
from transfer_kit.training.module import DetectorModule


class KeepCheckpoint(lightning.Callback):
    """Writes `path` at the end of each round, whole or not at all.

    Rounds end where nothing is under way, so weights, optimizer, schedule and judge are all
    that there is to keep; patches and dropout follow from the seed and the step. It comes after
    the judge among the callbacks.

    Args:
        path: The file.
        judge: Whose state it keeps.
        seconds: How long the training has taken so far.
    """

    def __init__(self, path: Path, judge: Judge, seconds: Callable[[], float]) -> None:
        self.path = path
        self.judge = judge
        self.seconds = seconds

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Write the checkpoint; of several processes the leader does."""
        if not processes.leads():
            return
        state = {
            "step": module.step,
            "seconds": self.seconds(),
            "stopped": bool(trainer.should_stop),
            "network": module.network.state_dict(),
            "beside": module.state_beside(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "schedules": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
            "judge": self.judge.state_dict(),
        }
        # Not straight to the file: on a full disk torch then raises a RuntimeError about positions.
        written = io.BytesIO()
        torch.save(state, written)
        with replacing(self.path) as temporary:
            temporary.write_bytes(written.getbuffer())


class Resumed(NamedTuple):
    """Whether nothing is left to do, and how long the training had taken."""

    has_ended: bool
    seconds: float


def restore(path: Path, module: DetectorModule, judge: Judge) -> Resumed:
    """Go on from a checkpoint, where there is one.

    Raises:
        UserError: the file is damaged, or is of another recipe.
    """
    try:
        state = processes.from_leader(lambda: _read(path))
        if state is None:
            return Resumed(False, 0.0)
        module.network.load_state_dict(state["network"])
        module.load_state_beside(state.get("beside", {}))
    except Exception as error:
        raise UserError(
            f"The checkpoint {path} cannot be gone on from ({str(error).splitlines()[0]}); "
            "remove it to begin anew."
        ) from None
    judge.load_state_dict(state["judge"])
    module.go_on(state["step"], state["optimizer"], state["schedules"])
    has_ended = bool(state["stopped"] or state["step"] >= module.settings.steps)
    # Older checkpoints know no time.
    return Resumed(has_ended, float(state.get("seconds", 0.0)))


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
