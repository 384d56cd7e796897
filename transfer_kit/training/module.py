"""The Lightning module: one step of one detector's training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, cast, runtime_checkable

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR

from transfer_kit.codecs import Codec
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.freeze_forms import Freeze
from transfer_kit.gamma_forms import Gamma, gamma_at
from transfer_kit.networks import Network
from transfer_kit.networks.base import SelfJudging
from transfer_kit.settings import OptimizerSettings, TrainSettings
from transfer_kit.training import processes
from transfer_kit.training.batches import Batch
from transfer_kit.training.synced_batch_norm import part_batch_norms, sync_batch_norms
from transfer_kit.transfer.adapters import add_adapters, merge_adapters
from transfer_kit.transfer.batchnorm import hold_statistics
from transfer_kit.transfer.feature_cache import FeatureCache
from transfer_kit.transfer.freezing import Freezing, hold_frozen_statistics
from transfer_kit.transfer.mixing import balanced_loss, losses_apart
from transfer_kit.transfer.pull import Pull
from transfer_kit.transfer.rates import parameter_groups


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

    Every random number of a step (dropout) follows from the seed and the step, and so does what is
    frozen, so that a resumed training equals an uninterrupted one.
    """

    def __init__(
        self,
        detector: Detector,
        settings: TrainSettings,
        *,
        seed: int,
        freeze: Freeze = 0,
        from_base: Sequence[nn.Parameter] = (),
        gamma: Gamma = 1.0,
    ) -> None:
        """Make the detector's network ready to learn; `finish` makes it an ordinary one again.

        Args:
            detector: Trained in place.
            settings: Of the recipe.
            seed: Of dropout and of the adapters' first weights.
            freeze: Blocks that do not learn.
            from_base: What `train.l2_sp` pulls to where it now is.
            gamma: Weight of the target's loss, in batches that tell which images are the target's.

        Raises:
            UserError: blocks that do not exist are frozen, nothing is left to learn, or adapters
                are asked for where there can be none.
        """
        super().__init__()
        self.detector = detector
        self.settings = settings
        self.seed = seed
        self.gamma = gamma
        self._apart: Tensor | None = None
        adapter, learnable = settings.adapter, None
        if adapter.rank:
            learnable = add_adapters(detector.network, adapter, freeze=freeze, seed=seed)
        self.memory_format = (
            torch.channels_last if settings.channels_last else torch.contiguous_format
        )
        self.network = detector.network.to(memory_format=self.memory_format)
        self.freezing = Freezing(self.network, freeze, learnable=learnable)
        self.freezing.apply(0)
        self.learning = self.freezing.ever_learning()
        learning = {id(parameter) for parameter in self.learning}
        self.pulled = [p for p in from_base if settings.l2_sp and id(p) in learning]
        self.pull = Pull(self.pulled, settings.l2_sp) if self.pulled else None
        self.features: FeatureCache | None = None
        self._forward = self._compiled() if settings.compile else self.network.__call__
        self.start_step = 0
        self.parts = settings.accumulate
        self._states: tuple[dict[str, Any], list[dict[str, Any]]] | None = None

    @property
    def step(self) -> int:
        """Steps taken, those before an interruption included."""
        return self.start_step + int(self.global_step)

    def keep_features(self) -> None:
        """Compute what frozen blocks make of a crop once; batches must tell each one's `crop`.

        Equal crops must show equal images, and what is frozen must not change.

        Raises:
            UserError: the network's features cannot be kept.
        """
        self.features = FeatureCache(self.network, self.freezing.frozen_at(0))

    def go_on(self, step: int, optimizer: dict[str, Any], schedules: list[dict[str, Any]]) -> None:
        """Begin at `step`, with the optimizer and the schedules as they were."""
        self.start_step = step
        self._states = optimizer, schedules

    def setup(self, stage: str) -> None:
        """Get ready to learn beside other processes, before the trainer looks what learns."""
        if processes.count() == 1:
            return
        self.freezing.show_all()
        if not self._holds_statistics:
            sync_batch_norms(self.network)

    @property
    def learns_unevenly(self) -> bool:
        """Whether some of what learns has no gradient in some steps."""
        return len(self.freezing.steps) > 1 or isinstance(self.network, SelfJudging)

    def train(self, mode: bool = True) -> DetectorModule:
        """Switch modes; frozen blocks stay in evaluation mode, as do batch norms that are held."""
        super().train(mode)
        if self._holds_statistics:
            hold_statistics(self.network)
        hold_frozen_statistics(self.network)
        return self

    @property
    def _holds_statistics(self) -> bool:
        adapter = self.settings.adapter
        return self.settings.batch_norm != "train" or bool(adapter.rank and not adapter.norms)

    def state_to_keep(self) -> dict[str, Tensor]:
        """The weights that a round leaves: the network's."""
        return dict(self.network.state_dict())

    def state_beside(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the network, in tensors and plain numbers: nothing."""
        return {}

    def load_state_beside(self, state: dict[str, Any]) -> None:
        """Go on with what `state_beside` gave."""

    def figures_of_round(self) -> dict[str, float]:
        """The mean losses of the target's images and of the others, apart, where both are mixed.

        One that no image of the round was of is left out. What is given back is forgotten.
        """
        if self._apart is None:
            return {}
        of_target, n_target, of_others, n_others = processes.summed(self._apart.cpu()).tolist()
        self._apart = None
        sums = {"target": (of_target, n_target), "auxiliary": (of_others, n_others)}
        return {f"train/loss_{name}": loss / n for name, (loss, n) in sums.items() if n}

    def finish(self) -> None:
        """Merge the adapters and forget features: the network is an ordinary one again."""
        part_batch_norms(self.network)
        if self.features is not None:
            self.features.clear()
        if self.settings.adapter.rank:
            merge_adapters(self.network)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Freeze what is frozen from this step on, and seed the step."""
        if self.freezing.apply(self.step):
            self.train()
        part = processes.rank() * self.parts + batch_index % self.parts
        torch.manual_seed(self._seed_of(part))

    def _seed_of(self, part: int) -> int:
        """Of what is random in one part of the present step: each part drops out other values."""
        if part == 0:
            return (self.seed << 32) + self.step
        key = np.random.SeedSequence((self.seed, self.step, part))
        return int(key.generate_state(1, np.uint64)[0])

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The mean over the batch of each image's loss, by γ, and the pull towards the base.

        Raises:
            NotFiniteLossError: the loss is infinite or NaN.
        """
        loss = self._loss(batch)
        if self.pull is not None:
            loss = loss + self.pull()
        if not processes.all_agree(bool(torch.isfinite(loss))):
            raise NotFiniteLossError(self.step)
        return loss

    def _loss(self, batch: Batch) -> Tensor:
        losses = self._losses(batch)
        if "is_target" not in batch:
            return losses.mean()
        apart = losses_apart(losses, batch["is_target"])
        self._apart = apart if self._apart is None else self._apart + apart
        return balanced_loss(losses, batch["is_target"], gamma_at(self.gamma, self.step))

    def _losses(self, batch: Batch) -> Tensor:
        """Each image's loss `(B,)`: the codec's, or that of a network that judges itself."""
        image = batch["image"].contiguous(memory_format=self.memory_format)
        if isinstance(self.network, SelfJudging):
            return self.network.loss(image, batch["target"], batch["weight"])
        output = self._maps(image, batch)
        codec = self.detector.codec
        if isinstance(codec, StepwiseCodec):
            codec = codec.at_step(self.step)
        with torch.autocast(self.device.type, enabled=False):
            return codec.loss(output.float(), batch["target"], batch["weight"])

    def _compiled(self) -> Callable[[Tensor], Tensor]:
        """Not of the network itself: the images that are judged have other sizes than crops.

        Raises:
            UserError: the network judges itself, in steps that cannot be translated.
        """
        if isinstance(self.network, SelfJudging):
            raise UserError(
                "train.compile: this network computes its loss itself, in parts that differ from "
                "image to image, and cannot be compiled; leave train.compile out."
            )
        return cast(Callable[[Tensor], Tensor], torch.compile(self.network.forward))

    def _maps(self, image: Tensor, batch: Batch) -> Tensor:
        if self.features is None:
            reused: AbstractContextManager[None] = nullcontext()
        else:
            reused = self.features.serving([tuple(crop) for crop in batch["crop"].tolist()])
        with reused:
            maps: Tensor = self._forward(image)
        return maps

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer over all that ever learns, and its schedule.

        What is frozen has no gradient, and is not moved, also not by its decay.
        """
        optimizer = build_optimizer(
            self.network, self.settings.optimizer, learning=self.learning, pulled=self.pulled
        )
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
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=self.settings.steps + 1,
            pct_start=settings.warm_up,
            cycle_momentum=False,
        )


def build_optimizer(
    network: Network,
    settings: OptimizerSettings,
    *,
    learning: Sequence[nn.Parameter] | None = None,
    pulled: Collection[nn.Parameter] = (),
) -> Optimizer:
    """An optimizer of the parameters that learn; norms and biases are not decayed.

    Args:
        network: Whose blocks have rates of their own.
        settings: Of the recipe.
        learning: What learns at some step; by default what does now.
        pulled: What is pulled towards the base instead of decayed.
    """
    if learning is None:
        learning = [p for p in network.parameters() if p.requires_grad]
    groups = parameter_groups(network, learning, settings, pulled=pulled)
    if settings.name == "sgd":
        nesterov = settings.nesterov and settings.momentum > 0
        return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=nesterov)
    kind = AdamW if settings.name == "adamw" else Adam
    # Fused: one kernel for all parameters, where a loop over a hundred small ones costs time.
    optimizer = kind(groups, lr=settings.learning_rate, fused=True)
    # In mixed precision, gradients are unscaled before they are clipped, not within the fused step:
    # scaler and trainer both read this, and the trainer refuses to clip otherwise.
    optimizer._step_supports_amp_scaling = False
    return optimizer
