from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess

import pytest
import torch

from transfer_kit.tracking.environment import (
    Environment,
    describe_environment,
    git_commit,
    has_changes,
)


def git(folder, *words):
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@lab"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "recipe.yaml").write_text("base: breast\n")
    git(tmp_path, "add", "recipe.yaml")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_versions_threads_and_machine_are_those_of_this_process():
    environment = describe_environment()
    assert environment.packages["torch"] == torch.__version__
    assert environment.packages["numpy"] == importlib.metadata.version("numpy")
    assert environment.packages["python"] == platform.python_version()
    assert environment.threads == torch.get_num_threads()
    assert environment.host == platform.node()
    assert environment.device == environment.cpu != ""
    assert 1 <= environment.cores <= os.cpu_count()


def test_the_commit_is_of_the_checkout_that_the_working_folder_lies_in(checkout, monkeypatch):
    (checkout / "below").mkdir()
    monkeypatch.chdir(checkout / "below")
    environment = describe_environment()
    assert environment.commit == git(checkout, "rev-parse", "HEAD")
    assert environment.as_tags()["mlflow.source.git.commit"] == environment.commit
    assert not environment.changed
    (checkout / "recipe.yaml").write_text("base: eye\n")
    assert describe_environment().as_tags()["uncommitted_changes"] == "true"


def test_new_files_are_no_changes(checkout):
    (checkout / "runs").mkdir()
    (checkout / "runs" / "metrics.json").write_text("{}")
    assert not has_changes(checkout)


def test_outside_of_a_checkout_and_without_git_there_is_no_commit(checkout, tmp_path_factory):
    assert git_commit(tmp_path_factory.mktemp("plain")) == ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        assert git_commit(checkout) == ""


def test_the_address_of_a_remote_is_not_told(checkout, monkeypatch):
    git(checkout, "remote", "add", "origin", "https://ann:secret@lab/recipes.git")
    monkeypatch.chdir(checkout)
    assert "secret" not in str(describe_environment().as_dict())


def test_it_comes_back_from_its_document():
    environment = describe_environment()
    assert Environment.of_dict(environment.as_dict()) == environment


def test_a_process_that_sees_one_gpu_of_several_says_which(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "visible_gpus" not in describe_environment().as_tags()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    environment = describe_environment()
    assert environment.as_tags()["visible_gpus"] == "2"
    other_version = environment.as_dict() | {"of_a_later_version": 1}
    del other_version["visible_gpus"]
    assert Environment.of_dict(other_version).visible_gpus == ""
