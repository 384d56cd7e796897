from __future__ import annotations

import pytest

from transfer_kit.errors import UserError
from transfer_kit.tracking import location as location_module
from transfer_kit.tracking import redacted
from transfer_kit.tracking.links import experiment_page, run_page, ui_root
from transfer_kit.tracking.location import (
    artifact_root,
    checked_uri,
    prepare_sqlite,
    sqlite_uri,
    store_uri,
)


def test_making_the_store_is_announced_once_and_leaves_nothing_else(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(location_module, "_make_tables", lambda path, root: path.write_text("db"))
    for _ in range(2):
        prepare_sqlite(sqlite_uri(tmp_path / "mlflow.db"))
    assert capsys.readouterr().err == "preparing mlflow.db (once)\n"
    assert [each.name for each in tmp_path.iterdir()] == ["mlflow.db"]


def test_an_interrupted_making_leaves_no_half_store(tmp_path, monkeypatch):
    def interrupted(path, root):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(location_module, "_make_tables", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_sqlite(sqlite_uri(tmp_path / "mlflow.db"))
    assert list(tmp_path.iterdir()) == []


def test_of_two_processes_that_make_the_store_the_first_wins(tmp_path, monkeypatch):
    def slower(path, root):
        path.write_text("second")
        (tmp_path / "mlflow.db").write_text("first")

    monkeypatch.setattr(location_module, "_make_tables", slower)
    prepare_sqlite(sqlite_uri(tmp_path / "mlflow.db"))
    assert (tmp_path / "mlflow.db").read_text() == "first"


def test_a_folder_that_cannot_hold_a_store_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Runs cannot be stored in .*; work in a folder that can"):
        prepare_sqlite(sqlite_uri(tmp_path / "file" / "mlflow.db"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:////home/ann/mlflow.db", "sqlite:////home/ann/mlflow.db"),
        ("http://lab:5000", "http://lab:5000"),
        ("http://ann:se@cret@lab:5000/x", "http://***@lab:5000/x"),
        ("postgresql://ann:pw@db/runs", "postgresql://***@db/runs"),
        ("mysql://db/runs?user=a&password=pw&x=1", "mysql://db/runs?user=a&password=***&x=1"),
        ("no answer of http://a:b@lab/x at all", "no answer of http://***@lab/x at all"),
    ],
)
def test_passwords_are_never_shown(text, shown):
    assert redacted(text) == shown


def test_addresses_are_made_absolute_and_trimmed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked_uri("sqlite:///a.db") == f"sqlite:///{tmp_path}/a.db"
    assert checked_uri("http://lab:5000/") == "http://lab:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert store_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert artifact_root("http://lab") is None
    assert artifact_root("postgresql://db/x") == (tmp_path / "mlartifacts").as_uri()


def test_a_question_mark_in_the_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="holds a question mark; work in another folder"):
        sqlite_uri(tmp_path / "what?" / "mlflow.db")


def test_links_to_a_server_hold_its_address_and_no_password():
    root = ui_root("https://ann:pw@lab:8080/mlflow/")
    assert experiment_page(root, "3").startswith("https://lab:8080/mlflow/#/experiments/3/runs?")
    assert run_page(ui_root("sqlite:///x", 80, "::1"), "1", "r").startswith("http://[::1]:80/#/")
