"""`transfer-kit compare`: a page that shows trainings beside each other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer_kit.cli.options import RUNS, STUDIES, Json, Storage, SweepFolders
from transfer_kit.errors import UserError
from transfer_kit.sweeps.place import SWEEPS

if TYPE_CHECKING:
    from transfer_kit.compare_page.entry import Gathered
    from transfer_kit.sweeps.place import Place


def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Folders or names of runs and sweeps, or studies."),
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("comparison.html"),
    images: Annotated[
        int, typer.Option(min=0, help="Test images to show, with what each detector finds.")
    ] = 4,
    trials: Annotated[
        int, typer.Option(min=1, help="Of each sweep: the best so many, on validation images.")
    ] = 8,
    runs: Annotated[Path, typer.Option(help="Where run folders are.")] = RUNS,
    studies: Annotated[Path, typer.Option(help="Of all that studies trained.")] = STUDIES,
    sweeps: SweepFolders = SWEEPS,
    storage: Storage = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Write one self-contained page: figures with tests, curves, pictures, and what differs."""
    from transfer_kit.cli.tell_runs import in_words
    from transfer_kit.compare_page.gather import joined
    from transfer_kit.compare_page.page import write_page
    from transfer_kit.compare_page.pictures import overlay_rows

    where = _Where(runs, studies, sweeps, storage)
    gathered = joined(_parts(names, where, trials), in_words)
    rows, why_not = overlay_rows(gathered.entries, count=images, device=device)
    write_page(gathered, rows, why_not, out)
    if as_json:
        told = {"page": str(out), "entries": [entry.name for entry in gathered.entries]}
        print(json.dumps({**told, "n_images": len(rows)}))
        return
    print(f"Page: {out}")
    if why_not:
        print(f"Without pictures: {why_not}")


@dataclass(frozen=True)
class _Where:
    """Folders, and the database, in which names are looked up."""

    runs: Path
    studies: Path
    sweeps: Path
    storage: str | None


def _parts(names: list[str], where: _Where, trials: int) -> list[Gathered]:
    """The runs together, since tables tell what differs between them, then studies and sweeps."""
    from transfer_kit.compare_page.gather import of_runs
    from transfer_kit.runs.finding import find_run, is_run
    from transfer_kit.studies.finding import is_study
    from transfer_kit.sweeps.finding import begun_sweep

    runs, others = [], []
    for name in names:
        if is_study(name):
            others.append(_study(name, where.studies))
            continue
        place = None
        if not is_run(name, where.runs):
            place = begun_sweep(name, where.sweeps, where.storage)
        if place is not None:
            others.append(_sweep(place, trials))
            continue
        _refuse_not_begun(name, where.sweeps)
        runs.append(find_run(name, where.runs))
    return [*([of_runs(runs)] if runs else []), *others]


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


def _sweep(place: Place, trials: int) -> Gathered:
    from transfer_kit.compare_page.sweeps import of_sweep
    from transfer_kit.sweeps.opened import open_sweep

    return of_sweep(open_sweep(place), trials)


def _refuse_not_begun(name: str, sweeps: Path) -> None:
    from transfer_kit.sweeps.finding import list_sweeps

    if name in list_sweeps():
        raise UserError(
            f"The sweep {name} was not begun in {sweeps}; begin it with `transfer-kit sweep "
            f"{name}`, or say --storage where its trials lie in a database."
        )
