"""Self-training: a student learns on images without labels from a moving average of itself.

The mean teacher of Tarvainen and Valpola (2017, section 3) without its supervised part, which the
base has behind it. The teacher sees crops as they are, the student the same crops in other colours,
and learns the nuclei that the teacher is sure of (French, Mackiewicz and Fisher 2018, section 3).
The teacher is what remains. The papers' ramp-up is left out: teacher and student begin as the base,
and there is no supervised loss against which this one would have to be balanced.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import NotFiniteMapsError
from transfer_kit.recipe import Recipe
from transfer_kit.settings import TrainSettings
from transfer_kit.training.batches import Batch, HasReach, patch_loader
from transfer_kit.training.fit import CHECKPOINT, fit_module
from transfer_kit.training.judge import Curve, Judge, restore_best
from transfer_kit.training.module import DetectorModule, NotFiniteLossError
from transfer_kit.training.stain import record_stain
from transfer_kit.training.train import Trained
from transfer_kit.training.unlabelled_batches import unlabelled_patches
from transfer_kit.transfer.batchnorm import recalibrate
from transfer_kit.transfer.pseudo_labels import inside_margin, pseudo_labels
from transfer_kit.transfer.pull import parameters_of_base

LEAST_CONTEXT_UM = 6.0
"""What the teacher sees around a crop, so that it knows the nuclei at its edge."""

DISC_UM = 4.0
"""How far the sureness of a candidate holds where its codec has no reach of its own."""

_PSEUDO_LABELS = 17


def self_train(
    detector: Detector,
    samples: Sequence[Sample],
    recipe: Recipe,
    *,
    folder: Path,
    device: str = "auto",
    record: Callable[[Curve, int], None] = lambda point, step: None,
    title: str = "self-training",
) -> Trained:
    """Adapt `detector`, a copy of a base, in place to the images of `samples`.

    Annotations are not read, and the threshold stays as it is. Checkpoints go to `folder`; where
    one is there already, the training goes on from it, with the result of an uninterrupted one.

    Raises:
        UserError: the loss is not finite; the last good weights are kept in `folder`.
    """
    module = _module(detector, samples, recipe, is_new=not (folder / CHECKPOINT).is_file())
    judge = Judge((), recipe.train, radius_um=recipe.evaluation.radius_um, record=record)
    seconds = fit_module(
        module,
        judge,
        recipe,
        loader=lambda trainer, settings: _loader(module, samples, recipe, settings, trainer),
        folder=folder,
        device=device,
        title=title,
    )
    restore_best(judge, module)
    module.finish()
    detector.to("cpu").network.eval()
    record_stain(detector.card, samples, recipe)
    return Trained(detector, tuple(judge.curve), judge.last_step, judge.last_step, seconds)


class SelfTrainingModule(DetectorModule):
    """A student that learns from its own moving average, step by step.

    Batches hold `plain` `(B, 3, H + 2m, W + 2m)`, the crops with a margin of m pixels as they are;
    `image` `(B, 3, H, W)`, their middles in other colours; and `weight` `(B, 1, H, W)`, 0 outside
    of the image.
    """

    def __init__(self, detector: Detector, recipe: Recipe, *, margin: int) -> None:
        """Make the detector's network the student, and a copy of it the teacher.

        Args:
            detector: Trained in place.
            recipe: Of the adaptation.
            margin: What the teacher sees around a crop, in pixels.

        Raises:
            UserError: as `DetectorModule`.
        """
        super().__init__(
            detector,
            recipe.train,
            seed=recipe.seed,
            freeze=recipe.freeze,
            from_base=parameters_of_base(detector.network, has_base=True),
        )
        self.margin = margin
        self.adaptation = recipe.adaptation
        codec = detector.codec
        self.radius_um = codec.reach_um if isinstance(codec, HasReach) else DISC_UM
        self.teacher: nn.Module = copy.deepcopy(self.network).requires_grad_(False).eval()
        self._seen = _Seen()
        self._followed = 0

    def train(self, mode: bool = True) -> SelfTrainingModule:
        """Switch modes; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def start_teacher(self) -> None:
        """Let the teacher be what the student is now."""
        self.teacher.load_state_dict(self.network.state_dict())

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The student's loss on what the teacher is sure of.

        Raises:
            NotFiniteLossError: the loss is infinite or NaN, or the teacher's maps are.
        """
        return super().training_step(self.labelled_by_teacher(batch), batch_index)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        """θ' ← α θ' + (1 - α) θ after each step (Tarvainen and Valpola 2017, Eq. 1).

        Batch norms' statistics follow alike.
        """
        if self.step == self._followed:  # a part of a step
            return
        self._followed = self.step
        share = 1 - self.adaptation.teacher_decay
        own = self.network.state_dict()
        with torch.no_grad():
            for name, value in self.teacher.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(own[name], share)
                else:
                    value.copy_(own[name])

    def state_to_keep(self) -> dict[str, Tensor]:
        """The teacher's weights: it is what remains."""
        return dict(self.teacher.state_dict())

    def state_beside(self) -> dict[str, Any]:
        """The teacher."""
        return {"teacher": self.teacher.state_dict()}

    def load_state_beside(self, state: dict[str, Any]) -> None:
        """Go on with the teacher."""
        self.teacher.load_state_dict(state["teacher"])

    def figures_of_round(self) -> dict[str, float]:
        """How many nuclei the teacher saw, and how much of the crops it was sure of."""
        seen, self._seen = self._seen, _Seen()
        area_mm2 = seen.pixels * self.detector.card.mpp**2 / 1e6
        return {
            "teacher/nuclei_per_mm2": seen.nuclei / area_mm2 if area_mm2 else 0.0,
            "teacher/sure_share": seen.sure / seen.pixels if seen.pixels else 0.0,
        }

    def labelled_by_teacher(self, batch: Batch) -> Batch:
        """The crops of the student, with targets and weights `(B, 1, H, W)` by the teacher.

        Raises:
            NotFiniteLossError: the teacher's maps are not finite.
        """
        with torch.no_grad():
            plain = batch["plain"].contiguous(memory_format=self.memory_format)
            maps = self.teacher(plain).float().cpu().numpy()
        inside = batch["weight"].cpu().numpy()
        labels = [self._labels(maps[place], inside[place, 0], place) for place in range(len(maps))]
        targets, weights = (torch.from_numpy(np.stack(each)) for each in zip(*labels, strict=True))
        device = batch["image"].device
        return {
            "image": batch["image"],
            "target": targets.to(device),
            "weight": weights.to(device),
        }

    def _labels(
        self, maps: NDArray[np.float32], inside: NDArray[np.float32], place: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Target `(K, H, W)` and weight `(1, H, W)` of one crop."""
        card, codec = self.detector.card, self.detector.codec
        try:
            found = codec.decode(maps, card.mpp, threshold=None)
        except NotFiniteMapsError:
            raise NotFiniteLossError(self.step) from None
        candidates = inside_margin(found, self.margin)
        size = (inside.shape[0], inside.shape[1])
        labels = pseudo_labels(
            candidates,
            size,
            threshold=card.threshold,
            confidence=self.adaptation.confidence,
            radius_px=self.radius_um / card.mpp,
        )
        key = (_PSEUDO_LABELS, self.step, place)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        target = codec.encode(labels.annotation, size, card.mpp, rng)
        weight = labels.weight * inside
        self._seen.add(labels.annotation.points, inside, weight)
        return target, weight[None]


class _Seen:
    """What the teacher said in a round."""

    def __init__(self) -> None:
        self.nuclei = 0
        self.pixels = 0.0
        self.sure = 0.0

    def add(
        self,
        points: NDArray[np.float32],
        inside: NDArray[np.float32],
        weight: NDArray[np.float32],
    ) -> None:
        """One crop: nuclei, pixels of the image, and their weights."""
        height, width = inside.shape
        x, y = np.round(points).astype(int).T
        self.nuclei += int(((x >= 0) & (y >= 0) & (x < width) & (y < height)).sum())
        self.pixels += float(inside.sum())
        self.sure += float(weight.sum())


def _module(
    detector: Detector, samples: Sequence[Sample], recipe: Recipe, *, is_new: bool
) -> SelfTrainingModule:
    codec = detector.codec
    reach_um = codec.reach_um if isinstance(codec, HasReach) else 0.0
    margin = int(np.ceil(max(LEAST_CONTEXT_UM, reach_um) / detector.card.mpp))
    module = SelfTrainingModule(detector, recipe, margin=margin)
    if is_new and recipe.train.batch_norm == "recalibrate":
        recalibrate(detector, samples, crop_px=recipe.patches.size_px, seed=recipe.seed)
        module.start_teacher()
    return module


def _loader(
    module: SelfTrainingModule,
    samples: Sequence[Sample],
    recipe: Recipe,
    settings: TrainSettings,
    trainer: lightning.Trainer,
) -> DataLoader[Batch]:
    patches = unlabelled_patches(module.detector, samples, recipe, margin=module.margin)
    on_cpu = trainer.strategy.root_device.type == "cpu"
    return patch_loader(patches, settings, start_step=module.start_step, pinned=not on_cpu)
