from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from laboratory import subprocess_environment
from sweep_fields import begun

from transfer_kit.sweeps import claims, storage
from transfer_kit.sweeps.claims import claimed, take_back
from transfer_kit.sweeps.place import Place
from transfer_kit.sweeps.slots import running, slots_of, waiting

WORK = Path(__file__).parents[1] / "sweep_work.py"


def killed_worker(place):
    """A process that took a trial and was killed; gives the trial's number."""
    words = [sys.executable, str(WORK), str(place.folder), place.url]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=subprocess_environment(), cwd=WORK.parent
    ) as process:
        number = int(process.stdout.readline())
        process.kill()
    return number


def test_nobody_takes_a_trial_that_another_holds(tmp_path):
    place = Place("tiny", tmp_path / "tiny")
    opened = begun(place)
    with claimed(opened.study, place) as first, claimed(opened.study, place) as second:
        assert {first.number, second.number} == {0, 1}
        with claimed(opened.study, place) as third:
            assert third is None
        take_back(opened.study, place)
        assert len(running(slots_of(opened.study))) == 2


def test_a_killed_worker_s_trial_is_free_at_once_in_a_journal(tmp_path):
    place = Place("tiny", tmp_path / "tiny")
    opened = begun(place, count=1)
    number = killed_worker(place)
    assert [trial.number for trial in running(slots_of(opened.study))] == [number]
    take_back(opened.study, place)
    take_back(opened.study, place)
    (slot,) = slots_of(opened.study)
    assert slot.n_lost == 1
    assert len(waiting([slot])) == 1
    assert len(slot.attempts) == 2


def test_a_killed_worker_s_trial_is_free_in_a_database_when_its_heart_has_stopped(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(storage, "GRACE_SECONDS", 1)
    place = Place("tiny", tmp_path / "tiny", f"sqlite:///{tmp_path / 'sweeps.db'}")
    opened = begun(place, count=1)
    killed_worker(place)
    slot = None
    for _ in range(60):
        take_back(opened.study, place)
        (slot,) = slots_of(opened.study)
        if slot.n_lost:
            break
        claims.threading.Event().wait(0.5)
    assert slot.n_lost == 1
    assert len(waiting([slot])) == 1


def test_a_worker_that_lives_keeps_its_trial_in_a_database(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "GRACE_SECONDS", 3)
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.5)
    place = Place("tiny", tmp_path / "tiny", f"sqlite:///{tmp_path / 'sweeps.db'}")
    opened = begun(place, count=1)
    with claimed(opened.study, place) as trial:
        claims.threading.Event().wait(6)
        take_back(opened.study, place)
        (slot,) = slots_of(opened.study)
        assert [each.number for each in running([slot])] == [trial.number]
        assert slot.n_lost == 0


@pytest.mark.parametrize("where", ["journal", "sqlite"])
def test_several_processes_take_every_trial_once(tmp_path, where):
    from functools import partial

    from sweep_work import draw_and_tell

    from transfer_kit.engines.local import run_all
    from transfer_kit.sweeps.conduct import Turn

    (tmp_path / "tiny").mkdir()
    url = f"sqlite:///{tmp_path / 'sweeps.db'}" if where == "sqlite" else ""
    place = Place("tiny", tmp_path / "tiny", url)
    (place.folder / "killed").touch()  # here none is
    opened = begun(place, count=8)
    turns = [Turn(number) for number in range(12)]
    work = partial(draw_and_tell, place=place)
    outcomes = list(run_all(turns, work, workers=3, log=tmp_path / "log"))
    assert [outcome.error for outcome in outcomes] == [""] * 12
    slots = slots_of(opened.study)
    assert all(slot.is_finished and len(slot.attempts) == 1 for slot in slots)
    assert len(slots) == 8
