"""`transfer-kit runs`: the runs in run folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from transfer_kit.cli.options import RUNS, Json
from transfer_kit.errors import UserError
from transfer_kit.wording import counted

app = typer.Typer(name="runs", help="Runs: list, show, compare, sync, clean.", no_args_is_help=True)

Runs = Annotated[Path, typer.Option("--runs", help="The folder that run folders are made in.")]
BESIDE = (Path(".work"),)
"""Where studies and sweeps keep theirs."""


@app.command("list")
def list_(runs: Runs = RUNS, as_json: Json = False) -> None:
    """All runs: which are finished, which were interrupted, and what is unsent."""
    from rich.console import Console

    from transfer_kit.cli.tell_runs import tell_list
    from transfer_kit.runs.finding import list_runs

    found = list_runs(runs)
    if as_json:
        print(json.dumps([run.as_dict() for run in found]))
        return
    if not found:
        print(f"There are no runs in {runs}; `transfer-kit finetune` makes one.")
        return
    tell_list(found, Console())


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A run's folder, or its name.")],
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """One run: its recipe, figures, data and environment."""
    from rich.console import Console

    from transfer_kit.cli.tell_runs import shown, tell_run
    from transfer_kit.runs.finding import find_run

    found = find_run(run, runs)
    if as_json:
        print(json.dumps(shown(found)))
        return
    tell_run(found, Console())


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="RUN…", help="Two runs or more.")],
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Finished runs beside each other, each tested against the first on their test images."""
    from rich.console import Console

    from transfer_kit.cli.tell_runs import tell_comparison
    from transfer_kit.runs.comparison import compare_runs
    from transfer_kit.runs.finding import find_run

    comparison = compare_runs([find_run(name, runs) for name in names])
    if as_json:
        print(json.dumps(comparison.as_dict()))
        return
    tell_comparison(comparison, Console())


@app.command()
def sync(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]…", help="Where to look; runs and .work by default."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="A sqlite file or address, in place of MLFLOW_TRACKING_URI."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send what the tracking store could not take while the runs went on, each record once.

    May be stopped and called again at any time. Exits with 1 where something is left.
    """
    from transfer_kit.cli.tell_sent import in_words
    from transfer_kit.cli.ui import chosen_store
    from transfer_kit.tracking.store import open_client
    from transfer_kit.tracking.unsent import send_unsent, unsent_files

    for folder in folders or ():
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}; check the path.")
    files = unsent_files(folders or [RUNS, *BESIDE])
    sent = []
    if files:
        uri = chosen_store(store)
        client = open_client(uri)
        for each in send_unsent(files, client, store=uri, anywhere=store is not None):
            sent.append(each)
            print(in_words(each), file=sys.stderr if as_json else sys.stdout, flush=True)
    if as_json:
        print(json.dumps([each.as_dict() for each in sent]))
    elif not files:
        print("Nothing is unsent.")
    if any(each.why for each in sent):
        raise typer.Exit(1)


@app.command()
def clean(
    runs: Runs = RUNS,
    yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Remove the checkpoints of finished runs, which nothing goes on from; results stay."""
    from transfer_kit.runs.cleaning import leftovers, remove
    from transfer_kit.runs.finding import list_runs

    found = leftovers(list_runs(runs))
    megabytes = sum(each.n_bytes for each in found) / 1e6
    told = sys.stderr if as_json else sys.stdout
    for each in found:
        print(f"{each.folder}: {each.n_bytes / 1e6:.1f} MB", file=told)
    agreed = bool(found) and (yes or _agrees(f"Remove {megabytes:.1f} MB?"))
    if agreed:
        for each in found:
            remove(each)
    if as_json:
        print(json.dumps({"removed": agreed, "leftovers": [each.as_dict() for each in found]}))
    elif not found:
        print(f"There is nothing to remove in {runs}.")
    else:
        freed = f"{counted(len(found), 'folder')} removed, {megabytes:.1f} MB freed."
        print(freed if agreed else "Nothing was removed.")


def _agrees(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UserError(f"{question} cannot be asked here; add --yes to remove them.")
    return typer.confirm(question, err=True)
