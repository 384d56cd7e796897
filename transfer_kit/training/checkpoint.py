"""A checkpoint after every round, from which a training goes on as if nothing had happened."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import lightning
import torch

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.training.judge import Judge
from transfer_kit.training.module import DetectorModule


class KeepCheckpoint(lightning.Callback):
    """Writes `path` at the end of each round, whole or not at all.

    Rounds end where nothing is under way, so weights, optimizer, schedule and judge are all
    that there is to keep; patches and dropout follow from the seed and the step. It comes after
    the judge among the callbacks.
    """

    def __init__(self, path: Path, judge: Judge) -> None:
        self.path = path
        self.judge = judge

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Write the checkpoint."""
        state = {
            "step": module.step,
            "stopped": bool(trainer.should_stop),
            "network": module.network.state_dict(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "schedules": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
            "judge": self.judge.state_dict(),
        }
        # Not straight to the file: on a full disk torch then raises a RuntimeError about positions.
        written = io.BytesIO()
        torch.save(state, written)
        with replacing(self.path) as temporary:
            temporary.write_bytes(written.getbuffer())


def restore(path: Path, module: DetectorModule, judge: Judge) -> bool:
    """Go on from a checkpoint, where there is one; returns whether nothing is left to do.

    Raises:
        UserError: the file is damaged, or is of another recipe.
    """
    if not path.is_file():
        return False
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        module.network.load_state_dict(state["network"])
    except Exception as error:
        raise UserError(
            f"The checkpoint {path} cannot be gone on from ({str(error).splitlines()[0]}); "
            "remove it to begin anew."
        ) from None
    judge.load_state_dict(state["judge"])
    module.go_on(state["step"], state["optimizer"], state["schedules"])
    return bool(state["stopped"] or state["step"] >= module.settings.steps)
