"""`transfer-kit sweep`: the best values of any fields of a recipe, searched over night."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer_kit.cli.engines import Engine, EngineSet
from transfer_kit.cli.options import Json, Set, Storage, SweepFolders, Workers
from transfer_kit.errors import UserError
from transfer_kit.sweeps.place import SWEEPS

if TYPE_CHECKING:
    from transfer_kit.sweeps.place import Place
    from transfer_kit.sweeps.sweep import Sweep

ACTIONS = ("list", "show", "resume", "best", "dashboard")


def sweep(
    what: Annotated[
        str | None,
        typer.Argument(help=f"A sweep's file or shipped name to begin; or {', '.join(ACTIONS)}."),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(help="Of a sweep that was begun: to show, resume, ….")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Finished trials in all; the sweep's file says else.")
    ] = None,
    workers: Workers = 1,
    engine: Engine = "local",
    engine_set: EngineSet = None,
    timeout: Annotated[
        str | None, typer.Option(help="Begin no trial after this time: 45m, 2h, 1h30m.")
    ] = None,
    storage: Storage = None,
    name_: Annotated[
        str | None, typer.Option("--name", help="Of the new sweep; its file's name by default.")
    ] = None,
    join: Annotated[
        str | None, typer.Option(help="Add workers to a sweep that another command began.")
    ] = None,
    set_: Set = None,
    sweeps: SweepFolders = SWEEPS,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the dashboard.")] = 8080,
    as_json: Json = False,
) -> None:
    """Search fields of a recipe for what gives most on validation images; test the winner once."""
    from transfer_kit.cli import sweep_dashboard, sweep_reports, sweep_work
    from transfer_kit.sweeps.place import place_of

    _refuse_mixture(what, name, join, name_, set_)
    effort = sweep_work.Effort(
        workers, sweep_work.time_after(timeout), engine, tuple(engine_set or ())
    )
    if join is not None:
        sweep_work.join_in(place_of(join, sweeps, storage), effort, as_json=as_json)
    elif what is None:
        sweep_reports.list_shipped(as_json=as_json)
    elif what == "list":
        sweep_reports.list_begun(sweeps, storage, as_json=as_json)
    elif what in ACTIONS:
        place = place_of(_named(what, name), sweeps, storage)
        if what == "show":
            sweep_reports.show(place, as_json=as_json)
        elif what == "best":
            sweep_reports.show_best(place, as_json=as_json)
        elif what == "dashboard":
            sweep_dashboard.serve_dashboard(place, port)
        else:
            sweep_work.resume(place, trials, effort, as_json=as_json)
    else:
        asked, place = _asked(what, name_, trials, set_ or [], sweeps, storage)
        sweep_work.begin_or_go_on(asked, place, effort, as_json=as_json)


def _asked(
    what: str,
    name: str | None,
    trials: int | None,
    settings: list[str],
    sweeps: Path,
    storage: str | None,
) -> tuple[Sweep, Place]:
    from transfer_kit.recipe import parse_setting
    from transfer_kit.sweeps.finding import find_sweep
    from transfer_kit.sweeps.place import place_of
    from transfer_kit.sweeps.sweep import Sweep
    from transfer_kit.yaml_faults import parse_yaml

    path = find_sweep(what)
    Sweep.read(path)  # whose faults are told with their lines
    fields = parse_yaml(path)
    if settings:
        laid = dict(parse_setting(setting) for setting in settings)
        fields["set"] = {**fields.get("set", {}), **laid}
    if trials is not None:
        fields["trials"] = trials
    return Sweep.of_fields(fields, path), place_of(name or path.stem, sweeps, storage)


def _named(what: str, name: str | None) -> str:
    if name is None:
        raise UserError(f"Which sweep? Say its name: transfer-kit sweep {what} NAME.")
    return name


def _refuse_mixture(
    what: str | None,
    name: str | None,
    join: str | None,
    name_: str | None,
    settings: list[str] | None,
) -> None:
    if join is not None and what is not None:
        raise UserError(f"--join {join} adds workers to a sweep; leave {what!r} out.")
    if name is not None and what not in ACTIONS:
        raise UserError(
            f"{what!r} is a sweep's file, and {name!r} is too much; for a sweep's name say --name."
        )
    begins = join is None and what is not None and what not in ACTIONS
    if (name_ is not None or settings) and not begins:
        raise UserError("--name and --set are for beginning a sweep of a file; leave them out.")
