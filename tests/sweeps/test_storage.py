from __future__ import annotations

import shutil

import pytest

from transfer_kit.errors import UserError
from transfer_kit.sweeps.opened import open_sweep
from transfer_kit.sweeps.place import Place, place_of
from transfer_kit.sweeps.storage import names_in, open_storage, redacted_url

pytest_plugins = ["mlflow_stores"]

SECRET = "s3cr/et:word"
QUOTED = "s3cr%2Fet%3Aword"


def told(call) -> str:
    with pytest.raises(UserError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def begun(place):
    import optuna

    optuna.create_study(study_name=place.name, storage=open_storage(place))
    return place


def test_a_journal_keeps_one_sweep(tmp_path):
    first = begun(Place("first", tmp_path / "first"))
    shutil.copytree(first.folder, tmp_path / "second")
    said = told(lambda: open_sweep(Place("second", tmp_path / "second")))
    assert "holds the sweep 'first', and a journal holds one sweep alone" in said
    assert names_in(first, open_storage(first)) == ["first"]


def test_looking_at_a_sweep_that_is_not_there_makes_nothing(tmp_path):
    said = told(lambda: open_sweep(Place("eye", tmp_path / "eye")))
    assert said.startswith("There is no sweep 'eye'")
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_sweep_in_a_database_says_what_is_missing(tmp_path):
    place = Place("eye", tmp_path)
    place.definition.write_text("set: {}\n")
    assert "lie in a database; say --storage URL, or set TRANSFER_KIT_STORAGE" in told(
        lambda: open_sweep(place)
    )


def test_a_damaged_journal_is_told(tmp_path):
    place = Place("eye", tmp_path)
    place.journal.write_text('{"op_code": 0, "wor\n{}\n')
    assert f"{place.journal} is damaged" in told(lambda: open_sweep(place))


@pytest.mark.parametrize("password", [SECRET.replace("/", ""), QUOTED])
def test_a_server_that_is_not_there_is_told_without_its_password(tmp_path, closed_port, password):
    pytest.importorskip("psycopg")
    url = f"postgresql://ann:{password}@127.0.0.1:{closed_port}/sweeps"
    place = Place("eye", tmp_path, url)
    said = told(lambda: open_storage(place))
    assert said.startswith(f"The storage postgresql://***@127.0.0.1:{closed_port}/sweeps cannot be")
    assert "et:word" not in said
    assert "et%3Aword" not in said
    assert password not in repr(place)


@pytest.mark.parametrize(
    "url", ["nosql://ann:secret@host/db", "postgresql+nodriver://ann:secret@host/db"]
)
def test_a_database_that_is_not_known_is_told_with_how_to_write_one(tmp_path, url):
    said = told(lambda: open_storage(Place("eye", tmp_path, url)))
    assert "write it as postgresql://user@host/name or sqlite:///file.db" in said
    assert "secret" not in said


def test_an_address_is_shown_without_user_and_password():
    assert redacted_url("postgresql://ann:a/b@c@host/db") == "postgresql://***@host/db"
    assert "secret" not in redacted_url("postgresql://host/db?password=secret")


def test_a_storage_that_is_no_url_and_a_name_that_is_no_name_are_refused(tmp_path, monkeypatch):
    assert "should be the URL of a database" in told(lambda: place_of("eye", tmp_path, "sweeps.db"))
    assert "cannot be called '../eye'" in told(lambda: place_of("../eye", tmp_path, None))
    monkeypatch.setenv("TRANSFER_KIT_STORAGE", "sqlite:///here.db")
    assert place_of("eye", tmp_path, None).url == "sqlite:///here.db"
