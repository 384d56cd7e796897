"""`transfer-kit study`: one question put to many recipes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_kit.cli.engines import Engine, EngineSet, words_of
from transfer_kit.cli.options import STUDIES, Json, Set, Workers
from transfer_kit.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from transfer_kit.engines import choose as engines
    from transfer_kit.studies.conduct import Prepared
    from transfer_kit.studies.outcome import Written


def study(
    name: Annotated[
        str | None, typer.Argument(help="A shipped study or a YAML file; without one, all shipped.")
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Of all that studies trained; shared by all of them.")
    ] = STUDIES,
    workers: Workers = 1,
    engine: Engine = "local",
    engine_set: EngineSet = None,
    set_: Set = None,
    only: Annotated[
        str | None, typer.Option(help="A glob of the trials' names: '*target=eye*'.")
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Say which trials there are and which ran, and stop.")
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(help="Write table, figure and sentence of what ran here; train nothing."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train what a study varies, each thing once, and say what was found and how sure it is."""
    if name is None:
        _list_studies(as_json=as_json)
        return
    from rich.console import Console

    from transfer_kit.engines.choose import engine_of
    from transfer_kit.studies.conduct import prepare
    from transfer_kit.studies.finding import find_study
    from transfer_kit.studies.outcome import write_outcome
    from transfer_kit.studies.study import Study
    from transfer_kit.studies.tracked import log_study
    from transfer_kit.studies.trials import with_settings

    path = find_study(name)
    asked = with_settings(Study.read(path), set_ or [])
    prepared = prepare(asked, folder, pattern=only)
    if list_:
        _list_trials(prepared, as_json=as_json)
        return
    told = Console(stderr=True)
    failed: dict[str, str] = {}
    if table is None:
        again = _again(name, folder, workers, set_, only) + words_of(engine, engine_set)
        chosen = engine_of(engine, engine_set or [], folder)
        failed = _conduct(prepared, workers, chosen, told, again)
    written = write_outcome(prepared.found(), table or folder / path.stem, path.stem)
    if table is None:
        log_study(prepared, written, path.stem)
    _tell(asked.question, written, failed, as_json=as_json)
    if failed:
        raise typer.Exit(1)


def _conduct(
    prepared: Prepared, workers: int, engine: engines.Engine, told: Console, again: str
) -> dict[str, str]:
    """Carry out what is left, a line a trial; gives the errors of those that failed."""
    from transfer_kit.cli.faults import Stopped
    from transfer_kit.studies.conduct import LOG, conduct

    left, total = len(prepared.waiting), len(prepared.tasks.trials)
    told.print(f"{counted(total, 'trial')}, {left} of them to be run", highlight=False)
    if left:
        log = prepared.cache.folder / LOG
        told.print(f"Their progress: {log}", highlight=False, soft_wrap=True)
    failed: dict[str, str] = {}
    try:
        for number, outcome in enumerate(conduct(prepared, workers=workers, engine=engine), 1):
            said = outcome.error or "done"
            line = f"{number}/{left} {outcome.task.name}: {said}"
            told.print(line, highlight=False, markup=False, soft_wrap=True)
            if outcome.error:
                failed[outcome.task.name] = outcome.error
    except KeyboardInterrupt:
        raise Stopped(f"What ran is kept. Go on with: {again}") from None
    return failed


def _tell(question: str, written: Written, failed: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"question": question, **written.as_dict(), "failed": failed}))
        return
    print(written.sentence)
    if failed:
        print(f"{counted(len(failed), 'trial')} failed; run the command again to try them again.")
    print(f"Table:  {written.table}\nRows:   {written.rows}\nFigure: {written.figure}")


def _again(
    name: str, folder: Path, workers: int, settings: list[str] | None, only: str | None
) -> str:
    words = ["transfer-kit", "study", name, "--workers", str(workers)]
    words += ["--folder", str(folder)] if folder != STUDIES else []
    words += [word for setting in settings or () for word in ("--set", setting)]
    words += ["--only", only] if only else []
    return shlex.join(words)


def _list_trials(prepared: Prepared, *, as_json: bool) -> None:
    cache = prepared.cache
    rows: list[dict[str, Any]] = [
        {
            "trial": task.name,
            "state": "done"
            if task.is_done(cache)
            else "begun"
            if task.key and cache.has_begun(task.key)
            else "waiting",
            "training": task.key,
        }
        for task in prepared.tasks.trials
    ]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['state']:8} {row['trial']}")
    done = sum(row["state"] == "done" for row in rows)
    different = len({row["training"] for row in rows} - {""})
    print(f"{done} of {counted(len(rows), 'trial')} done; {counted(different, 'training')} in all")


def _list_studies(*, as_json: bool) -> None:
    from transfer_kit.studies.finding import find_study, list_studies
    from transfer_kit.studies.study import Study
    from transfer_kit.studies.trials import trials_of

    rows = []
    for name in list_studies():
        found = Study.read(find_study(name))
        rows.append({"name": name, "question": found.question, "trials": len(trials_of(found))})
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['name']:12} {row['trials']:4} trials  {row['question']}")
