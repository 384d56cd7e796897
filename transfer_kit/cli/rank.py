"""`transfer-kit rank`: which base suits a target."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from transfer_kit.base_choice import BaseChoice
    from transfer_kit.evaluation import Difference
    from transfer_kit.ranking import Ranking
    from transfer_kit.recipe import Recipe
    from transfer_kit.transfer.choosing import BaseScores


def rank(
    target: Annotated[str, typer.Option(help="An organ, a dataset or a folder.")],
    labels: Annotated[
        str, typer.Option(help="How much of the labels: '20%', 5 images, '3 cases'.")
    ] = "100%",
    models: Annotated[
        str | None,
        typer.Option(help="Names, files or run folders, with commas; all of the store by default."),
    ] = None,
    by: Annotated[
        str,
        typer.Option(help="recalibrated, as-is, features, stain, logme or h-score."),
    ] = "recalibrated",
    radius_um: Annotated[float, typer.Option(min=0.01, help="Matching radius.")] = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="Of which images are the labelled ones.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
) -> None:
    """Order the detectors of the store by how well they promise to suit a target.

    They are measured on the labelled images that a fine-tuning would train on; nothing is trained,
    and no test image is looked at.
    """
    from rich.console import Console

    from transfer_kit.labels import labelled_samples, refuse_empty_splits, refuse_unreadable
    from transfer_kit.ranking import rank_bases
    from transfer_kit.stores.datasets import find_dataset
    from transfer_kit.wording import counted

    dataset = find_dataset(target)
    refuse_empty_splits(target, dataset)
    train, validation = labelled_samples([dataset], labels, seed=seed)
    labelled = (*train, *validation)
    refuse_unreadable(labelled)
    with _measuring() as progress:
        ranking = rank_bases(
            [dataset],
            labelled,
            models=None if models is None else [name.strip() for name in models.split(",")],
            by=by,
            radius_um=radius_um,
            seed=seed,
            device=device,
            progress=progress,
        )
    if as_json:
        document = {"target": dataset.card.name, "labels": labels, "seed": seed}
        print(json.dumps({**document, **ranking.as_dict()}))
        return
    console = Console()
    images = f"{counted(ranking.n_images, 'labelled image')} of {counted(ranking.n_cases, 'case')}"
    title = f"Bases for {dataset.card.name}: {images}, {counted(ranking.n_nuclei, 'nucleus')}"
    if ranking.bases:
        console.print(_table(ranking, title))
    for sentence in _remarks(ranking):
        console.print(sentence, markup=False, highlight=False)
    if ranking.bases:
        words = ("--base", ranking.best.name, "--target", target, "--labels", labels)
        command = shlex.join(["transfer-kit", "finetune", *words])
        console.print(f"\nGo on with: {command}", markup=False, highlight=False, soft_wrap=True)


def settle_base(recipe: Recipe, *, device: str) -> BaseChoice:
    """`choose_base` with a bar that shows how far it is."""
    from transfer_kit.base_choice import choose_base

    with _measuring() as progress:
        return choose_base(recipe, device=device, progress=progress)


@contextmanager
def _measuring() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, shown from the first base on, and what moves it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Measuring bases", visible=False)
        yield lambda name, done, total: bar.update(
            task, description=f"Measuring {name}", completed=done, total=total, visible=True
        )


def _table(ranking: Ranking, title: str) -> Table:
    from rich.table import Column, Table

    figures = ("F1 (95 %)", "to best", "as is", "feature", "stain", "LogME", "H")
    right = (Column(name, justify="right", no_wrap=True) for name in figures)
    name = Column("base", overflow="fold")
    table = Table(name, *right, title=title, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for base, difference in zip(ranking.bases, ranking.against_best, strict=True):
        table.add_row(*_row(base, difference))
    return table


def _row(base: BaseScores, difference: Difference) -> tuple[str, ...]:
    chosen, mark = base.recalibrated, "*" if base.own_organ_stands_in else ""
    interval = (
        ""
        if chosen.low is None or chosen.high is None
        else f" ({chosen.low:.2f}–{chosen.high:.2f})"
    )
    may_be_best = difference.high is None or difference.high >= 0
    return (
        base.name,
        f"{chosen.f1:.3f}{interval}",
        f"{'≈ ' if may_be_best and difference.difference else ''}{difference.difference:+.3f}",
        f"{base.as_is.f1:.3f}",
        _figure(base.feature_distance, 2) + mark,
        _figure(base.stain_distance, 2) + mark,
        _figure(base.logme, 2),
        _figure(base.h_score, 2),
    )


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _remarks(ranking: Ranking) -> list[str]:
    """What the table's reader should know, and which bases are not in it."""
    over = "case" if ranking.unit == "case" else "image (all are of one case, which flatters)"
    said = []
    if ranking.bases:
        said.append(
            f"F1: each {over} at the threshold chosen on the others, matched within "
            f"{ranking.radius_um:g} µm. ≈: may be as good as the best."
        )
    if any(base.own_organ_stands_in for base in ranking.bases):
        said.append("*: from the embedded organ, as the base's own cases are not on this machine.")
    for excluded in ranking.excluded:
        cases = f" ({', '.join(excluded.cases)})" if excluded.cases else ""
        said.append(f"Not ranked: {excluded.name}: {excluded.reason}{cases}")
    return said
