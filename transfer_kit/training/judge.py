"""After each round: validation images judged, the best weights kept, the schedule moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import torch
from torch import Tensor

from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import NotFiniteMapsError
from transfer_kit.evaluation import calibrate
from transfer_kit.settings import TrainSettings
from transfer_kit.training import processes
from transfer_kit.training.module import DetectorModule, NotFiniteLossError

Curve = dict[str, float]

CRITERIA = {"val/aji": "AJI", "val/class_f1": "class F1", "val/f1": "F1"}
"""What the best round has most of, and its word for people; the first that a point has counts."""


class Judge(lightning.Callback):
    """Judges a detector after each round by its best F1 on the validation images.

    Detectors of whole nuclei are judged by their mean AJI, where the images have instances, and
    those of several classes by the classes' F1: all nuclei are found long before they are told
    apart.

    Keeps the weights of the best round, of which the base is one when it is fine-tuned; ends the
    training by early stopping or when the plateau schedule has run out. Its state travels in the
    checkpoint, so that a resumed training judges as if it had not been interrupted.
    """

    def __init__(
        self,
        validation: Sequence[Sample],
        settings: TrainSettings,
        *,
        radius_um: float,
        record: Callable[[Curve, int], None],
        judge_start: bool = False,
    ) -> None:
        self.validation = validation
        self.settings = settings
        self.radius_um = radius_um
        self.record = record
        self.judge_start = judge_start
        self.best_step = 0
        self.best_weights: dict[str, Tensor] = {}
        self.since_lowered = 0
        self.curve: list[Curve] = []
        self._loss_sum = 0.0
        self._loss_count = 0

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Judge the base itself: a fine-tuning that never beats it gives it back."""
        self._loss_sum, self._loss_count = 0.0, 0
        if self.judge_start and self.validation and not self.curve:
            point = self._judged(module, 0)
            self._keep_if_best(module, _criterion(point), 0)
            self.curve.append({"step": 0, **point})
            self.record(point, 0)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_index: int,
    ) -> None:
        """Add to the round's mean loss."""
        self._loss_sum += float(outputs["loss"])
        self._loss_count += 1

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Judge the round."""
        assert isinstance(module, DetectorModule)  # noqa: S101 - for the type checker
        step = module.step
        # The trainer divides the loss of a part of a step by the number of its parts.
        steps = max(1, self._loss_count) / trainer.accumulate_grad_batches
        point = {
            "train/loss": processes.mean(self._loss_sum / steps),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
        }
        point |= module.figures_of_round()
        self._loss_sum, self._loss_count = 0.0, 0
        if not all(torch.isfinite(p).all() for p in module.network.parameters()):
            raise NotFiniteLossError(step)
        if self.validation:
            point |= self._judged(module, step)
        self._keep_if_best(module, _criterion(point), step)
        self._move_schedule(trainer, step)
        self.curve.append({"step": step, **point})
        self.record(point, step)

    def _judged(self, module: DetectorModule, step: int) -> Curve:
        """What the leader finds, for all: they must keep and stop alike.

        Raises:
            NotFiniteLossError: the network's maps are not finite.
        """
        point = processes.from_leader(lambda: self._examine(module))
        if point is None:
            raise NotFiniteLossError(step)
        return point

    def _examine(self, module: DetectorModule) -> Curve | None:
        """The round's figures; none of maps that are not finite."""
        try:
            return judged(module.detector, self.validation, radius_um=self.radius_um)
        except NotFiniteMapsError:
            return None

    def _keep_if_best(self, module: DetectorModule, score: float, step: int) -> None:
        if score > self.best_score or not self.validation:
            self.best_step = step
            self.since_lowered = step
            self.best_weights = {
                name: value.detach().cpu().clone() for name, value in module.state_to_keep().items()
            }

    def _move_schedule(self, trainer: lightning.Trainer, step: int) -> None:
        patience = self.settings.early_stopping_steps
        if patience is not None and step - self.best_step >= patience:
            trainer.should_stop = True
        schedule = self.settings.schedule
        if schedule.name != "plateau" or step - self.since_lowered < schedule.patience_steps:
            return
        self.since_lowered = step
        for group in trainer.optimizers[0].param_groups:
            group["lr"] /= 10
        if trainer.optimizers[0].param_groups[0]["lr"] < schedule.stop_below:
            trainer.should_stop = True

    @property
    def best_score(self) -> float:
        """The greatest criterion of all rounds."""
        return max(map(_criterion, self.curve), default=-math.inf)

    @property
    def last_step(self) -> int:
        """The last step that was judged."""
        return int(self.curve[-1]["step"]) if self.curve else 0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {
            "best_step": self.best_step,
            "best_weights": self.best_weights,
            "since_lowered": self.since_lowered,
            "curve": self.curve,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name, value in state_dict.items():
            setattr(self, name, value)


def judged(detector: Detector, samples: Sequence[Sample], *, radius_um: float) -> Curve:
    """The figures of `CRITERIA` that a detector has on images, and the threshold of its F1.

    It decodes as its codec says: the other variants would take longer than a round.

    Raises:
        NotFiniteMapsError: its maps are not finite.
        UserError: there is no image, or no annotated nucleus.
    """
    chosen = calibrate(detector, samples, radius_um=radius_um, codecs=(detector.codec,))
    point = {"val/f1": chosen.f1, "val/threshold": chosen.threshold}
    if chosen.class_f1 is not None:
        point["val/class_f1"] = chosen.class_f1
    return point if chosen.aji is None else point | {"val/aji": chosen.aji}


def judged_by(point: Curve) -> str:
    """The figure of `CRITERIA` that a round is judged by; none ("") without validation."""
    return next((name for name in CRITERIA if name in point), "")


def _criterion(point: Curve) -> float:
    """What the best round has most of; without validation the last is the best."""
    name = judged_by(point)
    return point[name] if name else math.inf


def restore_best(judge: Judge, module: DetectorModule) -> None:
    """Give the network the weights of the best round."""
    if judge.best_weights:
        with torch.no_grad():
            module.network.load_state_dict(judge.best_weights)
