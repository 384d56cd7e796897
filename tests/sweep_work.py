"""Work for other processes, which import it from here."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from transfer_kit.sweeps.claims import claimed, take_back
from transfer_kit.sweeps.conduct import Turn
from transfer_kit.sweeps.opened import open_sweep
from transfer_kit.sweeps.place import Place


def take_and_wait(folder: str, url: str) -> None:
    """Take a trial, say so, and never finish it: to be killed."""
    place = Place("tiny", Path(folder), url)
    study = open_sweep(place).for_trial(0)
    with claimed(study, place) as trial:
        assert trial is not None
        print(trial.number, flush=True)
        time.sleep(600)


def draw_and_tell(turn: Turn, place: Place) -> None:
    """A trial without a training; the first worker of all is killed in the middle of one."""
    opened = open_sweep(place)
    study = opened.for_trial(turn.number)
    take_back(study, place)
    with claimed(study, place) as taken:
        if taken is None:
            return
        import optuna

        from transfer_kit.sweeps.claims import identifier

        trial = optuna.Trial(study, identifier(study, taken.number))
        value = trial.suggest_int("freeze", 0, 2)
        trial.report(float(value), 1)
        try:
            (place.folder / "killed").touch(exist_ok=False)
        except FileExistsError:
            time.sleep(0.1)
            study.tell(trial, float(value))
        else:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    take_and_wait(*sys.argv[1:3])
