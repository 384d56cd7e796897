from __future__ import annotations

import errno

import pytest

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.files import replacing


def test_a_finished_block_replaces_the_file(tmp_path):
    path = tmp_path / "a" / "b.txt"
    for text in ("one", "two"):
        with replacing(path) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_a_failed_block_leaves_what_was_there(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


def test_ctrl_c_leaves_what_was_there(tmp_path):
    path = tmp_path / "b.txt"
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "model"
    for name in ("one", "two"):
        with replacing(folder) as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [p.name for p in folder.iterdir()] == ["two"]


def test_a_full_disk_is_explained_and_nothing_is_half_written(tmp_path):
    with pytest.raises(UserError, match="No space is left to write"):
        with replacing(tmp_path / "b.txt") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        with replacing(tmp_path / "file" / "b.txt") as temporary:
            temporary.write_text("")


def test_the_nearest_known_word_is_named_else_all():
    assert nearest_hint("brest", ["breast", "eye"]) == "Did you mean 'breast'?"
    assert nearest_hint("spleen", ["breast", "eye"]) == "Known are: breast, eye."
    assert nearest_hint("spleen", []) == "None is known yet."
