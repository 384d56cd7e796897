from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfer_kit.errors import UserError
from transfer_kit.stores import locations


@pytest.mark.parametrize("kind", ["datasets", "models", "recipes"])
def test_a_checkout_finds_what_it_ships(kind):
    assert locations.shipped(kind).is_dir()


def test_a_wheel_finds_what_it_ships(tmp_path, monkeypatch):
    package = tmp_path / "transfer_kit"
    (package / "_shipped" / "stores" / "datasets").mkdir(parents=True)
    monkeypatch.setattr(locations, "_PACKAGE", package)
    assert locations.shipped("datasets") == package / "_shipped" / "stores" / "datasets"
    with pytest.raises(UserError, match=r"models that ship with transfer-kit are not in .* again"):
        locations.shipped("models")


def test_the_home_holds_store_and_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path))
    assert locations.user_folder() == tmp_path
    assert locations.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("TRANSFER_KIT_HOME")
    assert locations.user_folder() != locations.cache_folder()


def test_several_data_folders_may_be_named(monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_DATA", os.pathsep.join(["/a", "", "/b c"]))
    assert locations.data_folders() == (Path("/a"), Path("/b c"))
    monkeypatch.delenv("TRANSFER_KIT_DATA")
    assert locations.data_folders() == ()
