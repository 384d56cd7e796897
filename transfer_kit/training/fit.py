"""Taking the steps of a training: from its checkpoint on, and in parts where memory is short."""

from __future__ import annotations

import copy
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import lightning
import torch
from rich.console import Console
from torch.utils.data import DataLoader

from transfer_kit.errors import UserError
from transfer_kit.recipe import Recipe
from transfer_kit.settings import TrainSettings
from transfer_kit.training import processes
from transfer_kit.training.batches import Batch
from transfer_kit.training.checkpoint import KeepCheckpoint, restore
from transfer_kit.training.judge import Judge, restore_best
from transfer_kit.training.module import DetectorModule, NotFiniteLossError
from transfer_kit.training.progress import ShowProgress
from transfer_kit.training.trainer import make_trainer

CHECKPOINT = "last.ckpt"

Loader = Callable[[lightning.Trainer, TrainSettings], DataLoader[Batch]]


def fit_module(
    module: DetectorModule,
    judge: Judge,
    recipe: Recipe,
    *,
    loader: Loader,
    folder: Path,
    device: str,
    title: str,
) -> float:
    """Take the steps of the recipe, or those that are left; gives back the seconds of all of them.

    Args:
        loader: Makes the batches for the trainer that is to take the steps.
        folder: Of the checkpoint.

    Raises:
        UserError: the loss is not finite; the last good weights are kept in `folder`. Or the memory
            does not suffice for one crop at a time.
    """
    started = time.perf_counter()
    resumed = restore(folder / CHECKPOINT, module, judge)

    def seconds() -> float:
        return resumed.seconds + time.perf_counter() - started

    if processes.leads():
        for point in judge.curve:
            # What a killed run recorded may not have arrived; the same point twice does no harm.
            figures = {name: value for name, value in point.items() if name != "step"}
            judge.record(figures, int(point["step"]))
    if not resumed.has_ended:
        keep = KeepCheckpoint(folder / CHECKPOINT, judge, seconds)
        callbacks: list[lightning.Callback] = [judge, keep]
        if processes.leads():
            callbacks.insert(1, ShowProgress(title, judge))
        try:
            _fit_in_memory(module, judge, recipe.train, loader, device, callbacks, keep.path)
        except NotFiniteLossError as error:
            raise _explained(error, _keep_last_good(judge, module, folder), recipe) from None
    return seconds()


def _fit_in_memory(
    module: DetectorModule,
    judge: Judge,
    settings: TrainSettings,
    loader: Loader,
    device: str,
    callbacks: list[lightning.Callback],
    checkpoint: Path,
) -> None:
    """Fit; where a step does not fit into memory, go on from the last round in smaller parts."""
    begin = _Beginning(module, judge)
    while True:
        module.parts = settings.accumulate
        trainer = make_trainer(settings, module, device, callbacks)
        try:
            return _fit(trainer, module, loader(trainer, settings))
        except torch.OutOfMemoryError:
            settings = _in_smaller_parts(settings)
        begin.again(checkpoint)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _in_smaller_parts(settings: TrainSettings) -> TrainSettings:
    """The same step in twice as many parts, or the next more that the crops can be dealt into."""
    crops = settings.batch_size
    parts = [n for n in range(2 * settings.accumulate, crops + 1) if crops % n == 0]
    if processes.count() > 1 or not parts:
        raise UserError(
            f"The device's memory does not suffice for {crops // settings.accumulate} crops at a "
            "time; set train.accumulate higher or patches.size_px lower, or use --device cpu."
        )
    Console(stderr=True).print(
        f"The device's memory does not suffice for {crops // settings.accumulate} crops at a time: "
        f"going on with {crops // parts[0]}, {parts[0]} times a step "
        f"(train.accumulate={parts[0]}).",
        highlight=False,
        soft_wrap=True,
    )
    return settings.model_copy(update={"accumulate": parts[0]})


class _Beginning:
    """A training as it was before its first step here."""

    def __init__(self, module: DetectorModule, judge: Judge) -> None:
        self.module, self.judge = module, judge
        self.network, self.beside, self.judged = copy.deepcopy(
            (module.network.state_dict(), module.state_beside(), judge.state_dict())
        )

    def again(self, checkpoint: Path) -> None:
        """Go back to the checkpoint, or to here where there is none."""
        if checkpoint.is_file():
            restore(checkpoint, self.module, self.judge)
            return
        self.module.network.load_state_dict(self.network)
        self.module.load_state_beside(self.beside)
        self.judge.load_state_dict(copy.deepcopy(self.judged))


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
    if not processes.leads():
        return "the first process keeps the last good weights"
    if not judge.best_weights:
        return "no round had ended, so there are no weights to keep"
    restore_best(judge, module)
    module.finish()
    path = module.detector.save(folder / "last_good.safetensors")
    return f"the last good weights (step {judge.best_step}) are in {path}"
