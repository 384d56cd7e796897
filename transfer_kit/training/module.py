"""The Lightning module: one step of one detector's training."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import lightning
import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR

from transfer_kit.codecs import Codec
from transfer_kit.detector import Detector
from transfer_kit.networks.base import SelfJudging
from transfer_kit.recipe import OptimizerSettings, TrainSettings
from transfer_kit.training.batches import Batch
from transfer_kit.transfer.batchnorm import hold_statistics
from transfer_kit.transfer.freezing import hold_frozen_statistics


class NotFiniteLossError(Exception):
    """The loss became infinite or NaN at a step."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss is not finite at step {step}")
        self.step = step


@runtime_checkable
class StepwiseCodec(Protocol):
    """A codec whose loss changes in the course of a training."""

    def at_step(self, step: int) -> Codec:
        """The codec whose `loss` counts at `step`, from 0 on."""


class DetectorModule(lightning.LightningModule):
    """Trains a detector's network on its codec's loss.

    Every random number of a step (dropout) follows from the seed and the step, so that a resumed
    training equals an uninterrupted one.
    """

    def __init__(self, detector: Detector, settings: TrainSettings, *, seed: int) -> None:
        super().__init__()
        self.detector = detector
        self.network = detector.network.to(memory_format=torch.channels_last)
        self.settings = settings
        self.seed = seed
        self.start_step = 0
        self._states: tuple[dict[str, Any], list[dict[str, Any]]] | None = None

    @property
    def step(self) -> int:
        """Steps taken, those before an interruption included."""
        return self.start_step + int(self.global_step)

    def go_on(self, step: int, optimizer: dict[str, Any], schedules: list[dict[str, Any]]) -> None:
        """Begin at `step`, with the optimizer and the schedules as they were."""
        self.start_step = step
        self._states = optimizer, schedules

    def train(self, mode: bool = True) -> DetectorModule:
        """Switch modes; frozen blocks stay in evaluation mode, as do frozen batch norms."""
        super().train(mode)
        if self.settings.batch_norm == "frozen":
            hold_statistics(self.network)
        hold_frozen_statistics(self.network)
        return self

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Seed the step."""
        torch.manual_seed((self.seed << 32) + self.step)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The mean over the batch of each image's loss.

        Raises:
            NotFiniteLossError: the loss is infinite or NaN.
        """
        loss = self._losses(batch).mean()
        if not torch.isfinite(loss):
            raise NotFiniteLossError(self.step)
        return loss

    def _losses(self, batch: Batch) -> Tensor:
        """Each image's loss `(B,)`: the codec's, or that of a network that judges itself."""
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        if isinstance(self.network, SelfJudging):
            return self.network.loss(image, batch["target"], batch["weight"])
        output = self.network(image)
        codec = self.detector.codec
        if isinstance(codec, StepwiseCodec):
            codec = codec.at_step(self.step)
        with torch.autocast(self.device.type, enabled=False):
            return codec.loss(output.float(), batch["target"], batch["weight"])

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer over what is not frozen, and its schedule."""
        optimizer = build_optimizer(self.network, self.settings.optimizer)
        schedule = self._schedule(optimizer)
        if self._states is not None:
            optimizer.load_state_dict(self._states[0])
            if schedule is not None:
                schedule.load_state_dict(self._states[1][0])
        if schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _schedule(self, optimizer: Optimizer) -> LRScheduler | None:
        settings = self.settings.schedule
        if settings.name == "decay":
            return StepLR(optimizer, settings.decay_every, settings.decay_factor)
        if settings.name != "one_cycle":
            return None
        return OneCycleLR(
            optimizer,
            max_lr=self.settings.optimizer.learning_rate,
            total_steps=self.settings.steps + 1,
            pct_start=settings.warm_up,
            cycle_momentum=False,
        )


def build_optimizer(network: torch.nn.Module, settings: OptimizerSettings) -> Optimizer:
    """An optimizer of the parameters that learn; norms and biases are not decayed."""
    learning = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.name == "sgd":
        nesterov = settings.nesterov and settings.momentum > 0
        return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=nesterov)
    kind = AdamW if settings.name == "adamw" else Adam
    # Fused: one kernel for all parameters, where a loop over a hundred small ones costs time.
    return kind(groups, lr=settings.learning_rate, fused=True)
