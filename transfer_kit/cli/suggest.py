"""`transfer-kit suggest`: which images and regions to label next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from transfer_kit.label_pool import LabelPool


def suggest(
    model: Annotated[str, typer.Option(help="A model name, an organ, a file or a run folder.")],
    images: Annotated[str, typer.Option(help="A folder of images, or a dataset.")],
    count: Annotated[int, typer.Option("--number", "-n", min=1, help="Images to suggest.")] = 5,
    regions_per_image: Annotated[int, typer.Option(min=1, help="Regions in each of them.")] = 1,
    region_um: Annotated[float, typer.Option(help="Side of a region in µm.")] = 100.0,
    mpp: Annotated[
        float | None, typer.Option(min=0.01, max=20, help="µm per pixel, where files lack it.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "--out", "-o", help="Where files are written.")
    ] = Path("suggested"),
    seed: Annotated[int, typer.Option(min=0, help="Of the places that are compared.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
) -> None:
    """Propose the images and regions whose labels would teach a detector most.

    They are where it is unsure, and unlike each other and what is labelled already. The regions are
    written for QuPath: label every nucleus in them.
    """
    from rich.console import Console
    from rich.progress import Progress

    from transfer_kit.detector import Detector
    from transfer_kit.label_pool import label_pool
    from transfer_kit.stores.models import find_weights
    from transfer_kit.suggesting import suggest as suggest_samples
    from transfer_kit.suggestion_folder import suggestion_rows, write_suggestions

    detector = Detector.load(find_weights(model))
    pool = label_pool(images, mpp=mpp)
    told = Console(stderr=True)
    with Progress(console=told, transient=True, disable=not told.is_terminal) as bar:
        task = bar.add_task("Looking at images")
        suggestions = suggest_samples(
            detector,
            pool.unlabelled,
            count,
            covered=pool.labelled,
            region_um=region_um,
            regions_per_image=regions_per_image,
            seed=seed,
            device=device,
            progress=lambda name, done, total: bar.update(
                task, description=f"Looking at {name}", completed=done, total=total
            ),
        )
    files = write_suggestions(output, suggestions)
    rows = suggestion_rows(suggestions)
    if as_json:
        counts = {
            "n_unlabelled": len(pool.unlabelled),
            "n_labelled": len(pool.labelled),
            "n_test": pool.n_test,
        }
        document = {"model": detector.card.name, "images": images, "seed": seed, **counts}
        written = [str(file) for file in files]
        print(json.dumps({**document, "regions": rows, "files": written}))
        return
    console = Console()
    console.print(_table(rows, f"To label next for {detector.card.name}"))
    for sentence in _remarks(pool, rows, count * regions_per_image):
        console.print(sentence, markup=False, highlight=False)
    console.print(f"In {output}", markup=False, highlight=False, soft_wrap=True)


def _table(rows: list[dict[str, Any]], title: str) -> Table:
    from rich.table import Column, Table

    right = ("x, y", "µm", "in doubt per mm²", "distance")
    table = Table(
        Column("", justify="right"),
        Column("image", overflow="fold"),
        *(Column(name, justify="right", no_wrap=True) for name in right),
        title=title,
        box=None,
        pad_edge=False,
    )
    for row in rows:
        size = (f"{row[side] * row['mpp']:.0f}" for side in ("width", "height"))
        table.add_row(
            str(row["rank"]),
            Path(row["image"]).name,
            f"{row['x']}, {row['y']}",
            " × ".join(size),
            f"{row['uncertainty']:,.0f}",
            "–" if row["distance"] is None else f"{row['distance']:.1f}",
        )
    return table


def _remarks(pool: LabelPool, rows: list[dict[str, Any]], wanted: int) -> list[str]:
    from transfer_kit.wording import counted

    told = [f"Chosen from {counted(len(pool.unlabelled), 'image')} without labels."]
    if pool.labelled:
        told.append(f"What looks like the {counted(len(pool.labelled), 'labelled image')} is last.")
    if pool.n_test:
        told.append(f"{counted(pool.n_test, 'image')} of test cases: left out.")
    if len(rows) < wanted:
        told.append(f"{counted(wanted - len(rows), 'region')} fewer than asked for: no room.")
    return told
