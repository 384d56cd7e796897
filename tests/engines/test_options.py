from __future__ import annotations

from dataclasses import fields

import pytest
from docs_pages import REPOSITORY

from transfer_kit.engines.choose import engine_of
from transfer_kit.engines.local import run_all
from transfer_kit.engines.options import KINDS, RayOptions, SlurmOptions, options_of
from transfer_kit.engines.shipping import bring_home, changed_files, is_shared, leave_mark
from transfer_kit.errors import UserError


def test_options_are_read_by_their_types():
    ray = options_of("ray", ["address=head:6379", "gpus=0.5", "tries=1"])
    assert ray == RayOptions(address="head:6379", gpus=0.5, tries=1)
    slurm = options_of("slurm", ["partition=gpu", "minutes=30", "memory_gb=8"])
    assert slurm == SlurmOptions(partition="gpu", minutes=30, memory_gb=8)
    assert options_of("local", []) is None


def test_local_is_processes_of_this_machine(tmp_path):
    assert engine_of("local", [], tmp_path) is run_all


@pytest.mark.parametrize(
    ("engine", "settings", "said"),
    [
        ("rai", [], r"no engine 'rai'. Did you mean 'ray'"),
        ("local", ["gpus=1"], "gpus=1 is for --engine ray or slurm"),
        ("ray", ["partition=x"], "ray knows address, cpus, gpus, tries"),
        ("slurm", ["minutes"], "slurm knows minutes, partition"),
        ("slurm", ["minutes=soon"], "'soon' is no number"),
        ("ray", ["gpus=-1"], "-1 is out of range"),
        ("ray", ["cpus=nan"], "nan is out of range"),
    ],
)
def test_what_an_engine_does_not_know_is_refused(engine, settings, said):
    with pytest.raises(UserError, match=said):
        options_of(engine, settings)


@pytest.mark.parametrize("engine", sorted(KINDS))
def test_the_page_tells_every_option_with_its_default(engine):
    page = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")
    table = page[page.index(f"| `{engine}` | default |") :].split("\n\n")[0]
    rows = [row.strip("|").split(" | ") for row in table.splitlines()[2:]]
    told = {
        name.strip(" `"): default.strip(" `")
        for names, default, _ in rows
        for name in names.split(", ")
    }
    known = {each.name: each.default for each in fields(KINDS[engine])}
    assert set(told) == set(known)
    said = {name: value for name, value in known.items() if value is not None}
    assert {name: told[name] for name in said} == {n: str(value) for n, value in said.items()}


def test_a_folder_is_shared_with_who_reads_the_mark_in_it(tmp_path):
    word = leave_mark(tmp_path / "home")
    assert is_shared(tmp_path / "home", word)
    assert not is_shared(tmp_path / "elsewhere", word)
    leave_mark(tmp_path / "home")
    assert not is_shared(tmp_path / "home", word)


def test_only_what_changed_is_told_and_nothing_hidden(tmp_path):
    (tmp_path / "old.txt").write_text("as it was")
    before = changed_files(tmp_path, {})
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "new.txt").write_text("new")
    (tmp_path / ".new.lock").write_text("")
    assert list(changed_files(tmp_path, before)) == ["deep/new.txt"]


def test_files_that_come_home_stay_in_their_folder(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    bring_home({"a/b.txt": b"here"}, home)
    assert (home / "a" / "b.txt").read_bytes() == b"here"
    with pytest.raises(UserError, match=r"'\.\./evil.txt', outside"):
        bring_home({"../evil.txt": b"out"}, home)
    assert not (tmp_path / "evil.txt").exists()
