from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from laboratory import BASE, SHORT, TARGET, listing, subprocess_environment, transfer_kit
from mlflow import MlflowClient

from transfer_kit.tracking import store_uri

pytest_plugins = ["lab_fixtures"]

FINETUNE = ("finetune", "--base", BASE, "--target", TARGET, *SHORT)


def in_two_processes(*more):
    return subprocess.run(
        [sys.executable, "-m", "transfer_kit", *FINETUNE, "--devices", "2", *more],
        env=subprocess_environment(),
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.mark.slow  # two processes import and begin all that one does
def test_several_processes_make_one_run(lab):
    done = in_two_processes("--compare-scratch", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)  # one object, not one from each
    assert [path.name for path in (lab / "runs").iterdir()] == [Path(document["run"]).name]
    curves = pd.read_csv(Path(document["run"]) / "curves.csv")
    assert curves.groupby("training").step.max().to_dict() == {"fine-tuned": 16, "from scratch": 16}
    assert done.stderr.count("8 training images of 4 cases") == 1
    assert done.stderr.count("Run folder: ") == 1
    client = MlflowClient(store_uri())
    experiments = [each.experiment_id for each in client.search_experiments()]
    assert len(client.search_runs(experiments)) == 2  # the fine-tuning and its scratch


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nodes", "2"], "another machine's processes must be begun there"),
        (["--devices", "3"], "2 crops a step cannot be dealt out evenly to 3 devices"),
        (["--devices", "2", "--device", "mps"], "mps is a single device"),
    ],
)
def test_devices_that_cannot_be_are_refused_before_anything_is_written(lab, words, said):
    before = listing(lab)
    assert said in transfer_kit(*FINETUNE, *words, code=2).error
    assert listing(lab) == before


def test_one_device_needs_no_other_process(lab):
    transfer_kit(*FINETUNE, "--devices", 1)
    assert len(list((lab / "runs").iterdir())) == 1
