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


class ShowProgress(lightning.Callback):
    """A bar on standard error: steps, time left, the loss and the last validation F1."""

    def __init__(self, title: str) -> None:
        self.title = title
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
            self.title, total=trainer.max_steps, completed=trainer.global_step, said=""
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
        self.bar.update(self.task, completed=trainer.global_step)

    def say(self, text: str) -> None:
        """Show a word beside the bar."""
        self.bar.update(self.task, said=text)

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
