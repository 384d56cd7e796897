"""`transfer-kit compare`: a page that shows trainings beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from transfer_kit.compare_page.entry import Gathered

STUDIES = Path(".work/studies")


def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN…", help="Run folders or names, or studies.")
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("comparison.html"),
    images: Annotated[
        int, typer.Option(min=0, help="Test images to show, with what each detector finds.")
    ] = 4,
    runs: Annotated[Path, typer.Option(help="Where run folders are.")] = Path("runs"),
    studies: Annotated[Path, typer.Option(help="Of all that studies trained.")] = STUDIES,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
) -> None:
    """Write one self-contained page: figures with tests, curves, pictures, and what differs."""
    from transfer_kit.compare_page.gather import joined
    from transfer_kit.compare_page.page import write_page
    from transfer_kit.compare_page.pictures import MOST_IN_A_ROW, overlay_rows

    gathered = joined(_parts(names, runs, studies))
    shown = gathered.entries[:MOST_IN_A_ROW]
    rows, why_not = overlay_rows(shown, count=images, device=device)
    write_page(gathered, rows, why_not, out)
    if as_json:
        told = {"page": str(out), "entries": [entry.name for entry in gathered.entries]}
        print(json.dumps({**told, "n_images": len(rows)}))
        return
    print(f"Page: {out}")
    if why_not:
        print(f"Without pictures: {why_not}")


def _parts(names: list[str], runs: Path, studies: Path) -> list[Gathered]:
    """The runs together, since they are tested in pairs, and each study."""
    from transfer_kit.cli.tell_runs import in_words
    from transfer_kit.compare_page.gather import of_runs
    from transfer_kit.runs.finding import find_run
    from transfer_kit.studies.finding import is_study

    found = [find_run(name, runs) for name in names if not is_study(name)]
    parts = [of_runs(found, in_words)] if found else []
    return parts + [_study(name, studies) for name in names if is_study(name)]


def _study(name: str, folder: Path) -> Gathered:
    from transfer_kit.compare_page.gather import of_study
    from transfer_kit.studies.conduct import prepare
    from transfer_kit.studies.finding import find_study
    from transfer_kit.studies.outcome import write_outcome
    from transfer_kit.studies.study import Study

    path = find_study(name)
    prepared = prepare(Study.read(path), folder)
    written = write_outcome(prepared.found(), folder / path.stem, path.stem)
    return of_study(prepared, written, path.stem)
