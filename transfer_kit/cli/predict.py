"""`transfer-kit predict`: nuclei of images, as files that QuPath opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def predict(
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of them.")],
    model: Annotated[str, typer.Option(help="A model name, an organ, a file or a run folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where files are written.")],
    mpp: Annotated[
        float | None, typer.Option(min=0.01, max=20, help="µm per pixel, where files lack it.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="In place of the detector's own.")] = None,
    overlays: Annotated[bool, typer.Option(help="Draw the nuclei over each image.")] = True,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="List images that cannot be read, and go on.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
) -> None:
    """Find nuclei: GeoJSON for QuPath, CSV and an overlay for each image."""
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from transfer_kit.detector import Detector
    from transfer_kit.inference.predict import find_images, predict_images
    from transfer_kit.stores.models import find_weights

    paths = find_images(images)
    detector = Detector.load(find_weights(model)).to(device)
    found = predict_images(
        detector,
        paths,
        output,
        mpp=mpp,
        threshold=threshold,
        overlays=overlays,
        skip_bad=skip_bad,
    )
    progress = Console(stderr=True)
    done = list(track(found, "detecting", total=len(paths), console=progress, transient=True))
    if as_json:
        rows = [
            {
                "image": str(one.image),
                "n_nuclei": None if one.nuclei is None else len(one.nuclei),
                "mpp": one.mpp,
                "files": [str(file) for file in one.files],
                "skipped": one.reason or None,
            }
            for one in done
        ]
        print(json.dumps({"model": detector.card.name, "images": rows}))
        return
    table = Table("image", "nuclei", "written")
    for one in done:
        count = "skipped" if one.nuclei is None else str(len(one.nuclei))
        table.add_row(
            one.image.name, count, one.reason or ", ".join(file.name for file in one.files)
        )
    console = Console()
    console.print(table)
    console.print(f"In {output}", soft_wrap=True)
