"""`transfer-kit view`: a page to look at slides and detections, and to label them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from transfer_kit.cli.ui import show_page


def view(
    places: Annotated[
        list[str], typer.Argument(help="Slides, images, folders of them, or names of datasets.")
    ],
    nuclei: Annotated[
        Path | None, typer.Option(help="Detections: a file, or the folder that `predict` wrote.")
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            help="What they are compared with, in place of the labels: a dataset's name, "
            "a file or a folder of annotations."
        ),
    ] = None,
    label: Annotated[
        Path | None,
        typer.Option(
            help="Keep labels in this folder, and cut each labelled region out of its "
            "slide into it, as a dataset to train on."
        ),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(min=0.01, max=20, help="µm per pixel, where files lack it.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    host: Annotated[
        str, typer.Option(help="Who may look: this machine alone, or 0.0.0.0 for all.")
    ] = "127.0.0.1",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
) -> None:
    """Look at slides, detections and labels in the browser, and label there; Ctrl-C ends it."""
    from transfer_kit.viewer.opening import open_places
    from transfer_kit.viewer.serving import serve

    opened = open_places(places, nuclei=nuclei, truth=truth, label=label, mpp=mpp)
    if host not in ("127.0.0.1", "localhost", "::1"):
        print(
            f"Warning: at {host} other machines can reach this page; whoever has its whole address "
            "sees the images and can change their labels, and nothing is encrypted.",
            file=sys.stderr,
        )

    if label is not None:
        print(
            f"Labelled regions are cut out into {label}; to train on them: transfer-kit data add "
            f"{label} --organ … --case-pattern 'images/(.+)_x\\d+_y\\d+'",
            file=sys.stderr,
        )

    def tell(page: str) -> None:
        show_page(page, browser=not no_browser)
        print("Ctrl-C ends it.", file=sys.stderr, flush=True)

    serve(opened, host=host, port=port, tell=tell)
