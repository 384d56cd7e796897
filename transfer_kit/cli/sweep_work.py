"""Beginning, joining and going on with sweeps: what a person sees meanwhile."""

from __future__ import annotations

import os
import re
import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from transfer_kit.cli.faults import Stopped
from transfer_kit.cli.sweep_reports import tell_outcome, tell_trial
from transfer_kit.engines.choose import Engine, engine_of
from transfer_kit.errors import UserError
from transfer_kit.sweeps.begin import begin, extend, join, refuse_other_data, try_failed_again
from transfer_kit.sweeps.opened import NOTES, Opened, open_sweep
from transfer_kit.sweeps.place import SWEEPS, VARIABLE, Place
from transfer_kit.sweeps.standing import Standing, standing_of
from transfer_kit.wording import counted

if TYPE_CHECKING:
    from transfer_kit.sweeps.outcome import Outcome
    from transfer_kit.sweeps.sweep import Sweep
    from transfer_kit.sweeps.tracked import SweepLog

_SECONDS = {"h": 3600, "m": 60, "s": 1}


def time_after(text: str | None) -> float | None:
    """The time (of `time.time`) that a duration such as `1h30m` ends at; None without one.

    Raises:
        UserError: it is no duration.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(?:\d+(?:\.\d+)?[hms])+", text.strip())
    if match is None:
        raise UserError(f"--timeout {text!r} is no time; write it as 45m, 2h or 1h30m.")
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    return time.time() + sum(float(number) * _SECONDS[unit] for number, unit in parts)


@dataclass(frozen=True)
class Effort:
    """How many workers, until which time, and where.

    Attributes:
        workers: At a time.
        until: Time (of `time.time`) from which on no trial is begun; None is never.
        engine_name: `local`, `ray` or `slurm`.
        engine_settings: Of its options.
    """

    workers: int
    until: float | None
    engine_name: str = "local"
    engine_settings: tuple[str, ...] = ()

    def engine(self, place: Place) -> Engine:
        """Where workers run.

        Raises:
            UserError: it is not known, cannot share where the trials lie, or would write down the
                password of that storage.
        """
        if self.engine_name != "local" and not place.url:
            raise UserError(
                f"The trials of the sweep {place.name} lie in a file of this machine, which others "
                "cannot share; begin it with --storage and the URL of a database."
            )
        if self.engine_name == "slurm" and place.url != os.environ.get(VARIABLE, ""):
            raise UserError(
                f"--engine slurm writes what its jobs are given into files; set {VARIABLE} in "
                "place of --storage, so that no password is among it."
            )
        return engine_of(self.engine_name, self.engine_settings, place.folder)


def begin_or_go_on(sweep: Sweep, place: Place, effort: Effort, *, as_json: bool) -> None:
    """Begin a sweep, or go on with the one that was begun of the same file."""
    _carry_out(begin(sweep, place), effort, as_json=as_json)


def resume(place: Place, trials: int | None, effort: Effort, *, as_json: bool) -> None:
    """Go on with a sweep, failed trials too; with more trials where they are asked for."""
    opened = open_sweep(place)
    if trials is not None:
        extend(opened, trials)
    try_failed_again(opened)
    _carry_out(opened, effort, as_json=as_json)


def join_in(place: Place, effort: Effort, *, as_json: bool) -> None:
    """Work on a sweep that another command began, until nothing is left; that one tells it all."""
    opened = join(place)
    console = Console(stderr=True)
    _conduct(opened, effort, console, None)
    _say_how_it_stands(opened, console)
    if as_json:
        from transfer_kit.cli.sweep_reports import print_standing

        print_standing(opened)


def _carry_out(opened: Opened, effort: Effort, *, as_json: bool) -> None:
    console = Console(stderr=True)
    outcome = _written_before(opened)
    if outcome is None:
        outcome = _work(opened, effort, console)
    else:
        console.print("Nothing is left to do.", highlight=False)
    standing = standing_of(opened)
    tell_outcome(outcome, standing, as_json=as_json)
    if not standing.is_over:
        again = _again(opened.place)
        left = counted(standing.n_asked - len(standing.finished), "trial")
        console.print(f"{left} left; go on with: {again}", highlight=False, soft_wrap=True)
    if standing.failed:
        raise typer.Exit(1)


def _written_before(opened: Opened) -> Outcome | None:
    standing = standing_of(opened)
    if not standing.is_over:
        return None
    from transfer_kit.sweeps.outcome import read_outcome

    return read_outcome(opened, standing)


def _work(opened: Opened, effort: Effort, console: Console) -> Outcome:
    from transfer_kit.sweeps.outcome import write_outcome
    from transfer_kit.sweeps.tracked import tracked
    from transfer_kit.sweeps.winner import measure_winner

    refuse_other_data(opened)
    for note in opened.attributes.get(NOTES, ()):
        console.print(f"Note: {note}", highlight=False, soft_wrap=True)
    _say_how_it_stands(opened, console)
    console.print(f"Their progress: {opened.place.log}", highlight=False, soft_wrap=True)
    with tracked(opened) as log:
        _conduct(opened, effort, console, log)
        if standing_of(opened).is_over:
            measure_winner(opened, standing_of(opened))
        outcome = write_outcome(opened, standing_of(opened))
        log.log_outcome(outcome)
    return outcome


def _conduct(opened: Opened, effort: Effort, console: Console, log: SweepLog | None) -> None:
    """Carry out what is left, a line a trial, also of those that other commands finish."""
    from transfer_kit.sweeps.conduct import conduct

    known = {slot.number for slot in standing_of(opened).finished}
    if log is not None:
        log.log(standing_of(opened))
    try:
        for outcome in conduct(
            opened, workers=effort.workers, until=effort.until, engine=effort.engine(opened.place)
        ):
            if outcome is not None and outcome.error:
                said = f"A worker: {outcome.error}"
                console.print(said, highlight=False, markup=False, soft_wrap=True)
            standing = standing_of(opened)
            _tell_new(standing, known, console)
            if log is not None:
                log.log(standing)
    except KeyboardInterrupt:
        raise Stopped(f"What ran is kept. Go on with: {_again(opened.place)}") from None


def _tell_new(standing: Standing, known: set[int], console: Console) -> None:
    for slot in standing.finished:
        if slot.number not in known:
            known.add(slot.number)
            line = f"{len(known)}/{standing.n_asked} {tell_trial(standing, slot)}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def _say_how_it_stands(opened: Opened, console: Console) -> None:
    standing = standing_of(opened)
    done = f"{len(standing.finished)} of {counted(standing.n_asked, 'trial')} finished"
    base = "" if standing.base is None else f"; the base as it is: {_figure(standing.base)}"
    console.print(f"Sweep {opened.place.name}: {done}{base}", highlight=False, soft_wrap=True)


def _figure(base: dict[str, object]) -> str:
    return f"validation {base['criterion']} {base['validation']:.3f}"


def _again(place: Place) -> str:
    words = ["transfer-kit", "sweep", "resume", place.name]
    words += ["--sweeps", str(place.folder.parent)] if place.folder.parent != SWEEPS else []
    return shlex.join(words) + (" --storage URL" if place.url else "")
