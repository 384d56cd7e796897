"""Several worker processes on a real PostgreSQL, one of which is killed."""

from __future__ import annotations

from functools import partial

import postgresql
import pytest
from sweep_fields import begun
from sweep_work import draw_and_tell

from transfer_kit.engines.local import run_all
from transfer_kit.errors import UserError
from transfer_kit.sweeps import storage
from transfer_kit.sweeps.conduct import conduct
from transfer_kit.sweeps.place import Place
from transfer_kit.sweeps.slots import slots_of
from transfer_kit.sweeps.storage import open_storage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url():
    with postgresql.running() as address:
        yield address


def test_a_killed_worker_s_trial_is_finished_by_another_and_none_is_finished_twice(
    url, tmp_path, monkeypatch
):
    monkeypatch.setattr(storage, "GRACE_SECONDS", 3)
    place = Place("tiny", tmp_path / "tiny", url)
    place.folder.mkdir()
    opened = begun(place, count=12)

    def start(turns, work, *, workers, log):
        return run_all(turns, partial(draw_and_tell, place=place), workers=workers, log=log)

    errors = [each.error for each in conduct(opened, workers=2, engine=start) if each]
    assert sum("SIGKILL" in error for error in errors) == 1
    assert sum(bool(error) for error in errors) == 1
    slots = slots_of(opened.study)
    assert len(slots) == 12
    assert all(slot.is_finished for slot in slots)
    assert sum(len(slot.attempts) for slot in slots) == 13
    assert sum(slot.n_lost for slot in slots) == 1
    done = [trial for trial in opened.study.trials if trial.state.name == "COMPLETE"]
    assert len(done) == 12
    assert postgresql.PASSWORD not in (place.folder / "workers.log").read_text()


def test_a_wrong_password_is_told_and_neither_is_shown(url, tmp_path):
    wrong = url.replace(postgresql.PASSWORD, "wr0ng")
    with pytest.raises(UserError, match="cannot be reached") as told:
        open_storage(Place("tiny", tmp_path, wrong))
    assert "password authentication failed" in str(told.value)
    assert "wr0ng" not in str(told.value)


def test_a_database_keeps_several_sweeps(url, tmp_path):
    first = begun(Place("one", tmp_path / "one", url))
    second = begun(Place("two", tmp_path / "two", url), count=3)
    assert (len(first.slots()), len(second.slots())) == (2, 3)
