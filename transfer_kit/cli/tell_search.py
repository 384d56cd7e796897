"""How `predict` shows what it does, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    track,
)
from rich.table import Table
from typing_extensions import Self

from transfer_kit.wording import counted

if TYPE_CHECKING:
    from transfer_kit.inference.predict import SlideTask
    from transfer_kit.inference.records import Record
    from transfer_kit.inference.search import Progress as Searched


class SearchProgress:
    """A line for all slides where there are several, and one for the slide that is searched."""

    def __init__(self, slides: int) -> None:
        console = Console(stderr=True)
        self._shown = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all = self._shown.add_task("all", total=slides, told="", visible=slides > 1)
        self._slide = self._shown.add_task("", total=None, told="", visible=False)

    def __enter__(self) -> Self:
        self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.stop()

    def of(self, name: str) -> Callable[[Searched], None]:
        """What is told of one slide; the slide before it is over."""
        if self._shown.tasks[self._slide].visible:
            self._shown.advance(self._all)
        self._shown.reset(self._slide, description=name, total=None, visible=True, told="opening")

        def told(searched: Searched) -> None:
            task = self._shown.tasks[self._slide]
            seconds = task.elapsed or 1e-9
            rate = f"{searched.done_um2 / 1e6 / seconds:.3g} mm²/s, {searched.nuclei:,} nuclei"
            self._shown.update(
                self._slide, completed=searched.done, total=searched.blocks, told=rate
            )

        return told


def watched(
    found: Iterable[tuple[SlideTask, Record]], *, total: int
) -> list[tuple[SlideTask, Record]]:
    """All slides of a cohort, with a bar that moves as they end."""
    console = Console(stderr=True)
    return list(track(found, "slides", total=total, console=console, transient=True))


def tell(done: list[tuple[SlideTask, Record]], output: Path) -> None:
    """A row a slide, and how many there are of each kind."""
    table = Table("image", "nuclei", "mm²", "written")
    for task, record in done:
        count = "skipped" if record.nuclei is None else f"{record.nuclei:,}"
        area = "" if record.searched_mm2 is None else f"{record.searched_mm2:.3g}"
        table.add_row(task.slide.name, count, area, _written(record))
    console = Console()
    console.print(table)
    failed = sum(1 for _, record in done if record.reason)
    if len(done) > 1:
        rest = f", {failed} failed; call the same again to try these once more" if failed else ""
        console.print(f"{counted(len(done) - failed, 'image')} searched{rest}.")
    console.print(f"In {output}", soft_wrap=True)


def _written(record: Record) -> str:
    if record.reason:
        return record.reason
    return "; ".join(part for part in (record.note, ", ".join(record.files)) if part)


def tell_as_json(done: list[tuple[SlideTask, Record]], model: str) -> None:
    """The same for programs."""
    rows = [
        {
            "image": str(task.slide),
            "n_nuclei": record.nuclei,
            "mpp": record.mpp,
            "searched_mm2": record.searched_mm2,
            "seconds": record.seconds,
            "files": [str(task.output / file) for file in record.files],
            "note": record.note or None,
            "skipped": record.reason or None,
        }
        for task, record in done
    ]
    print(json.dumps({"model": model, "images": rows}))
