"""Train one detector on one set of samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
from torch.utils.data import DataLoader

from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.evaluation import adopt, calibrate
from transfer_kit.recipe import Recipe
from transfer_kit.settings import TrainSettings
from transfer_kit.training import processes
from transfer_kit.training.batches import Batch, numbered_patches, patch_loader
from transfer_kit.training.fit import CHECKPOINT, fit_module
from transfer_kit.training.judge import Curve, Judge, judged_by, restore_best
from transfer_kit.training.module import DetectorModule
from transfer_kit.training.stain import record_stain
from transfer_kit.transfer.batchnorm import recalibrate
from transfer_kit.transfer.mixing import AuxiliarySource
from transfer_kit.transfer.pull import parameters_of_base
from transfer_kit.transfer.recurring_crops import refuse_changing_features
from transfer_kit.wording import counted


@dataclass(frozen=True)
class Trained:
    """What came of a training: the best round's detector, its curve, steps taken and time.

    Attributes:
        seconds: Of all parts of a training that was killed and resumed, up to the last round that
            each of them ended.
    """

    detector: Detector
    curve: tuple[Curve, ...]
    steps: int
    best_step: int
    seconds: float

    @property
    def criterion(self) -> str:
        """The figure of the curve that chose the best round; none ("") without validation."""
        return judged_by(self.curve[-1]) if self.curve else ""


def train(
    detector: Detector,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    recipe: Recipe,
    *,
    folder: Path,
    auxiliary: Sequence[AuxiliarySource] = (),
    device: str = "auto",
    record: Callable[[Curve, int], None] = lambda point, step: None,
    title: str = "training",
) -> Trained:
    """Train `detector` in place on `samples`, as `recipe` says, and calibrate how it decodes.

    Checkpoints go to `folder`; where one is there already, the training goes on from it, with
    the result of an uninterrupted one.

    Args:
        validation: Judges each round and chooses the threshold. When empty, the last weights are
            kept and the threshold is chosen on `samples`, and the card says so.
        auxiliary: What is learned from beside `samples`, balanced as `recipe.auxiliary` says.
            Nothing is judged or chosen on it.

    Raises:
        UserError: the loss is not finite; the last good weights are kept in `folder`.
    """
    pool = [*samples, *(sample for source in auxiliary for sample in source.samples)]
    module = _module(detector, pool, recipe, is_new=not (folder / CHECKPOINT).is_file())
    judge = Judge(
        validation,
        recipe.train,
        radius_um=recipe.evaluation.radius_um,
        record=record,
        judge_start=recipe.base != "none",
    )
    seconds = fit_module(
        module,
        judge,
        recipe,
        loader=lambda trainer, settings: _loader(
            module, samples, auxiliary, recipe, settings, trainer
        ),
        folder=folder,
        device=device,
        title=title,
    )
    restore_best(judge, module)
    module.finish()
    detector.to("cpu").network.eval()
    if processes.leads():
        _calibrate(detector, validation, samples, recipe)
        record_stain(detector.card, samples, recipe)
    return Trained(detector, tuple(judge.curve), judge.last_step, judge.best_step, seconds)


def _module(
    detector: Detector, samples: Sequence[Sample], recipe: Recipe, *, is_new: bool
) -> DetectorModule:
    """The detector made ready to learn; a new training begins with the images' statistics."""
    module = DetectorModule(
        detector,
        recipe.train,
        seed=recipe.seed,
        freeze=recipe.freeze if recipe.starts_from_weights else 0,
        from_base=(
            parameters_of_base(detector.network, has_base=recipe.base != "none")
            if recipe.starts_from_weights
            else ()
        ),
        gamma=recipe.auxiliary.gamma,
    )
    if recipe.train.cache_features and recipe.starts_from_weights:
        refuse_changing_features(recipe)
        module.keep_features()
    if is_new and recipe.train.batch_norm == "recalibrate":
        recalibrate(detector, samples, crop_px=recipe.patches.size_px, seed=recipe.seed)
    return module


def _loader(
    module: DetectorModule,
    samples: Sequence[Sample],
    auxiliary: Sequence[AuxiliarySource],
    recipe: Recipe,
    settings: TrainSettings,
    trainer: lightning.Trainer,
) -> DataLoader[Batch]:
    patches = numbered_patches(module.detector, samples, auxiliary, recipe)
    on_cpu = trainer.strategy.root_device.type == "cpu"
    return patch_loader(patches, settings, start_step=module.start_step, pinned=not on_cpu)


def _calibrate(
    detector: Detector, validation: Sequence[Sample], samples: Sequence[Sample], recipe: Recipe
) -> None:
    images = list(validation) if validation else list(samples)
    said = "validation" if validation else "training"
    if validation and recipe.evaluation.threshold_from == "labelled":
        images, said = [*samples, *validation], "labelled (training and validation)"
    chosen = calibrate(detector, images, radius_um=recipe.evaluation.radius_um)
    adopt(detector, chosen)
    by = "" if chosen.aji is None else ", by AJI"
    detector.card.threshold_chosen_on = (
        f"{counted(len(images), f'{said} image')} of {recipe.target}{by}"
    )
    detector.card.radius_um = recipe.evaluation.radius_um
