"""What a person sees while a detector learns."""

from __future__ import annotations

import sys
from typing import Any

import lightning
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from transfer_kit.training.judge import CRITERIA, Judge, judged_by


class ShowProgress(lightning.Callback):
    """A bar on standard error with the last loss and what the judge found; a line a round in a log.

    That is the figure by which the best weights are chosen: F1, or the AJI of whole nuclei.
    """

    def __init__(self, title: str, judge: Judge) -> None:
        self.title = title
        self.judge = judge
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
            console=Console(file=sys.stderr),
        )

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Show the bar."""
        self.task = self.bar.add_task(
            self.title, total=module.settings.steps, completed=module.step, said=""
        )
        self.bar.start()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_index: int,
    ) -> None:
        """Move the bar."""
        self.bar.update(self.task, completed=module.step)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Say what the judge found; it comes before this among the callbacks."""
        point = self.judge.curve[-1]
        said = f"loss {point['train/loss']:.3f}"
        if name := judged_by(point):
            said += f", validation {CRITERIA[name]} {point[name]:.3f}"
        self.bar.update(self.task, said=said)
        if not self.bar.console.is_terminal:
            done = f"{module.step}/{module.settings.steps}"
            self.bar.console.print(f"{self.title}: step {done}, {said}", soft_wrap=True)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Leave the finished bar."""
        self.bar.stop()

    def on_exception(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Leave the bar where it stopped."""
        self.bar.stop()
