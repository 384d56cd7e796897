"""Train one detector on one set of samples."""

from __future__ import annotations

import logging
import math
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import adopt, calibrate
from transfer_kit.recipe import Recipe
from transfer_kit.settings import TrainSettings
from transfer_kit.training.batches import Batch, numbered_patches, patch_loader
from transfer_kit.training.checkpoint import KeepCheckpoint, restore
from transfer_kit.training.judge import Curve, Judge, judged_by, restore_best
from transfer_kit.training.module import DetectorModule, NotFiniteLossError
from transfer_kit.training.progress import ShowProgress
from transfer_kit.training.stain import record_stain
from transfer_kit.transfer.batchnorm import recalibrate
from transfer_kit.transfer.mixing import AuxiliarySource
from transfer_kit.transfer.pull import parameters_of_base
from transfer_kit.transfer.recurring_crops import refuse_changing_features
from transfer_kit.wording import counted

CHECKPOINT = "last.ckpt"


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
        loader=lambda trainer: _loader(module, samples, auxiliary, recipe, trainer),
        folder=folder,
        device=device,
        title=title,
    )
    restore_best(judge, module)
    module.finish()
    detector.to("cpu").network.eval()
    _calibrate(detector, validation, samples, recipe)
    record_stain(detector.card, samples, recipe)
    return Trained(detector, tuple(judge.curve), judge.last_step, judge.best_step, seconds)


def fit_module(
    module: DetectorModule,
    judge: Judge,
    recipe: Recipe,
    *,
    loader: Callable[[lightning.Trainer], DataLoader[Batch]],
    folder: Path,
    device: str,
    title: str,
) -> float:
    """Take the steps of the recipe, or those that are left; gives back the seconds of all of them.

    Args:
        loader: Makes the batches for the trainer that is to take the steps.
        folder: Of the checkpoint.

    Raises:
        UserError: the loss is not finite; the last good weights are kept in `folder`.
    """
    started = time.perf_counter()
    resumed = restore(folder / CHECKPOINT, module, judge)

    def seconds() -> float:
        return resumed.seconds + time.perf_counter() - started

    for point in judge.curve:
        # What a killed run recorded may not have arrived; the same point twice does no harm.
        figures = {name: value for name, value in point.items() if name != "step"}
        judge.record(figures, int(point["step"]))
    if not resumed.has_ended:
        keep = KeepCheckpoint(folder / CHECKPOINT, judge, seconds)
        callbacks = [judge, ShowProgress(title, judge), keep]
        trainer = _trainer(recipe.train, module.start_step, device, callbacks)
        try:
            _fit(trainer, module, loader(trainer))
        except NotFiniteLossError as error:
            raise _explained(error, _keep_last_good(judge, module, folder), recipe) from None
    return seconds()


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


def _trainer(
    settings: TrainSettings, start_step: int, device: str, callbacks: list[lightning.Callback]
) -> lightning.Trainer:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    accelerator = "auto" if device == "auto" else device.split(":")[0]
    steps = settings.steps - start_step
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(accelerator, accelerator),
        devices=[int(device.split(":")[1])] if ":" in device else 1,
        max_steps=steps,
        max_epochs=math.ceil(steps / settings.validate_every),
        precision=_precision(settings.precision, accelerator),
        gradient_clip_val=settings.gradient_clip,
        callbacks=callbacks,
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _loader(
    module: DetectorModule,
    samples: Sequence[Sample],
    auxiliary: Sequence[AuxiliarySource],
    recipe: Recipe,
    trainer: lightning.Trainer,
) -> DataLoader[Batch]:
    patches = numbered_patches(module.detector, samples, auxiliary, recipe)
    on_cpu = trainer.strategy.root_device.type == "cpu"
    return patch_loader(patches, recipe.train, start_step=module.start_step, pinned=not on_cpu)


def _precision(wanted: str, accelerator: str) -> Any:
    if wanted != "auto":
        return wanted
    if accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "32-true"


def _fit(trainer: lightning.Trainer, module: DetectorModule, loader: DataLoader[Batch]) -> None:
    """Fit; Ctrl-C stays Ctrl-C, where Lightning makes it an exit."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    # Lightning keeps each layer's mode as it finds it, and detectors rest in evaluation mode.
    module.train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trainer.fit(module, loader)
        except SystemExit:
            raise KeyboardInterrupt from None
        finally:
            if on_interrupt is not None:
                signal.signal(signal.SIGINT, on_interrupt)


def _explained(error: NotFiniteLossError, kept: str, recipe: Recipe) -> UserError:
    return UserError(
        f"The training stopped because {error}; {kept}; lower train.optimizer.learning_rate "
        f"(now {recipe.train.optimizer.learning_rate:g}) and run it again."
    )


def _keep_last_good(judge: Judge, module: DetectorModule, folder: Path) -> str:
    if not judge.best_weights:
        return "no round had ended, so there are no weights to keep"
    restore_best(judge, module)
    module.finish()
    path = module.detector.save(folder / "last_good.safetensors")
    return f"the last good weights (step {judge.best_step}) are in {path}"


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
