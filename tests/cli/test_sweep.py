from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
import yaml
from laboratory import BASE, TARGET, subprocess_environment, transfer_kit
from mlflow import MlflowClient
from sweep_fields import RATE, in_this_process

from transfer_kit.tracking import store_uri

pytest_plugins = ["lab_fixtures", "mlflow_stores"]

SWEEP = f"""
question: How is the tiny base best tuned?
set:
  base: {BASE}
  target: {TARGET}
  patches.size_px: 48
  train: {{steps: 4, validate_every: 2, batch_size: 2}}
search:
  freeze: {{int: [0, 2]}}
  {RATE}: {{float: [1.0e-4, 1.0e-2], log: true}}
first:
  - {{freeze: 2}}
sampler: random
pruner: none
trials: 3
"""


@pytest.fixture
def mine(lab, monkeypatch):
    monkeypatch.setattr("transfer_kit.engines.choose.run_all", in_this_process)
    monkeypatch.delenv("TRANSFER_KIT_STORAGE", raising=False)
    path = lab / "mine.yaml"
    path.write_text(SWEEP, encoding="utf-8")
    return path


def test_a_sweep_from_start_to_end(mine, lab):
    told = transfer_kit("sweep", "mine.yaml", "--json").json
    assert told["standing"]["finished"] == told["standing"]["asked"] == 3
    table = pd.read_csv(told["files"]["trials"])
    assert list(table["trial"]) == ["base", "0", "1", "2"]
    assert list(table["freeze"][1:3]) == [0, 2]  # the recipe's own, then the first that was said
    figures = table["validation"][1:]
    assert told["best"]["validation"] == pytest.approx(figures.max())
    assert told["base"]["validation"] == pytest.approx(table["validation"][0])
    for name in ("history", "parallel", "contour"):
        assert Path(told["files"][name]).stat().st_size > 1000

    # The best recipe gives the same again, on validation and on test images.
    tuned = transfer_kit("finetune", "--recipe", told["files"]["best"], "--json").json
    test = told["test"]["test"]
    assert tuned["finetuned"]["test"]["f1"] == test["f1"]
    assert tuned["finetuned"]["test"]["threshold"] == test["threshold"]
    curve = pd.read_csv(Path(tuned["run"]) / "curves.csv")
    assert curve["val/f1"].max() == told["best"]["validation"]

    # Nothing is left to do, and nothing is logged or measured again.
    again = transfer_kit("sweep", "mine.yaml", "--json")
    assert again.json == told
    assert "Nothing is left to do" in again.err
    client = MlflowClient(tracking_uri=store_uri())
    experiment = client.get_experiment_by_name("sweep mine")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"mine", "trial 0", "trial 1", "trial 2"}
    parent = runs["mine"].info.run_id
    assert {runs[f"trial {n}"].data.tags["mlflow.parentRunId"] for n in range(3)} == {parent}
    own = runs["trial 1"]
    assert own.data.params["freeze"] == "2"
    assert own.data.params[RATE] == "0.002"
    points = client.get_metric_history(own.info.run_id, "val/f1")
    assert [point.step for point in points] == [0, 2, 4]
    assert runs["mine"].data.metrics["test/f1"] == pytest.approx(test["f1"])

    # More trials go on from where it stood.
    more = transfer_kit("sweep", "resume", "mine", "--trials", 4, "--json").json
    assert more["standing"]["finished"] == 4
    listed = transfer_kit("sweep", "list", "--json").json
    assert [(row["name"], row["finished"], row["asked"]) for row in listed] == [("mine", 4, 4)]
    rows = transfer_kit("sweep", "show", "mine", "--json").json["trials"]
    assert [row["state"] for row in rows] == ["complete"] * 4
    assert "4 of 4 trials finished" in transfer_kit("sweep", "show", "mine").out
    best = transfer_kit("sweep", "best", "mine", "--json").json
    assert yaml.safe_load(Path(best["recipe"]).read_text())["base"] == BASE


def test_a_sweep_is_known_by_its_name_and_its_space(mine, lab):
    transfer_kit("sweep", "mine.yaml", "--trials", 1)
    other = SWEEP.replace("int: [0, 2]", "int: [0, 1]").replace("- {freeze: 2}", "- {freeze: 1}")
    mine.write_text(other, encoding="utf-8")
    said = transfer_kit("sweep", "mine.yaml", code=2).error
    assert said == (
        "The sweep mine exists with another search and first; choose another --name, or remove it."
    )
    shutil.copytree(lab / ".work/sweeps/mine", lab / ".work/sweeps/other")
    said = transfer_kit("sweep", "mine.yaml", "--name", "other", code=2).error
    assert "holds the sweep 'mine', and a journal holds one sweep alone" in said
    annotation = next((lab / TARGET / "annotations").iterdir())
    annotation.write_text(annotation.read_text() + "50,50\n")
    said = transfer_kit("sweep", "resume", "mine", "--trials", 2, code=2).error
    assert "was begun with other images, annotations or splits" in said
    assert "begun with other images" in transfer_kit("sweep", "--join", "mine", code=2).error


def test_after_its_time_a_sweep_begins_no_trial_and_says_how_to_go_on(mine, lab):
    said = transfer_kit("sweep", "mine.yaml", "--timeout", "0s", "--json")
    assert said.json["standing"]["finished"] == 0
    assert said.json["best"] is None
    assert "3 trials left; go on with: transfer-kit sweep resume mine" in said.err
    joined = transfer_kit("sweep", "--join", "mine", "--json").json
    assert joined["finished"] == 3
    assert joined["test"] is None  # who joins leaves the test images alone
    assert transfer_kit("sweep", "resume", "mine", "--json").json["test"] is not None


def test_no_password_is_written_or_said(mine, lab, closed_port):
    pytest.importorskip("psycopg")
    url = f"postgresql://ann:s3cretword@127.0.0.1:{closed_port}/sweeps"
    said = transfer_kit("sweep", "mine.yaml", "--storage", url, code=2)
    assert f"The storage postgresql://***@127.0.0.1:{closed_port}/sweeps" in said.error
    assert "s3cretword" not in said.err + said.out
    kept = [path for path in lab.rglob("*") if path.is_file() and path.suffix != ".png"]
    assert not [path for path in kept if b"s3cretword" in path.read_bytes()]


def test_a_database_is_asked_for_again_and_never_kept(mine, lab, monkeypatch):
    url = f"sqlite:///{lab / 'lab-sweeps.db'}"
    transfer_kit("sweep", "mine.yaml", "--storage", url, "--timeout", "0s")
    said = transfer_kit("sweep", "show", "mine", code=2).error
    assert "lie in a database; say --storage URL, or set TRANSFER_KIT_STORAGE" in said
    assert "in a database" in transfer_kit("sweep", "list").out
    folder = lab / ".work/sweeps/mine"
    assert not [p for p in folder.rglob("*") if p.is_file() and b"lab-sweeps" in p.read_bytes()]
    monkeypatch.setenv("TRANSFER_KIT_STORAGE", url)
    assert transfer_kit("sweep", "show", "mine", "--json").json["asked"] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eey"], "There is no sweep 'eey'. Did you mean 'eye'?"),
        (["show"], "Which sweep? Say its name: transfer-kit sweep show NAME."),
        (["show", "nothing"], "There is no sweep 'nothing'"),
        (["--join", "nothing"], "There is no sweep 'nothing'"),
        (["--join", "a", "mine.yaml"], "--join a adds workers to a sweep; leave 'mine.yaml' out."),
        (["mine.yaml", "other"], "'other' is too much; for a sweep's name say --name."),
        (["resume", "mine", "--set", "freeze=1"], "--name and --set are for beginning a sweep"),
        (["mine.yaml", "--timeout", "soon"], "--timeout 'soon' is no time; write it as 45m"),
        (["mine.yaml", "--storage", "here"], "--storage should be the URL of a database"),
        (["mine.yaml", "--set", "train.stpes=3"], "there is no field 'train.stpes'. Did you mean"),
        (["mine.yaml", "--set", "freeze=1"], "freeze is set and searched"),
        (
            ["mine.yaml", "--set", "target=eye-lbb"],
            "There is no organ, dataset or folder 'eye-lbb'",
        ),
        (["mine.yaml", "--name", "a/b"], "A sweep cannot be called 'a/b'"),
    ],
)
def test_bad_words_are_one_sentence(mine, lab, words, said):
    assert said in transfer_kit("sweep", *words, code=2).error
    assert not list(lab.glob(".work/sweeps/*/trials"))


def test_a_range_that_the_network_refuses_is_told_before_anything_is_trained(mine, lab):
    mine.write_text(SWEEP.replace("int: [0, 2]", "int: [0, 99]"), encoding="utf-8")
    said = transfer_kit("sweep", "mine.yaml", code=2).error
    assert said.startswith("The search space cannot be used: with freeze 99")
    assert "10 blocks" in said


def test_without_a_name_the_shipped_sweeps_are_told():
    rows = {row["name"]: row for row in transfer_kit("sweep", "--json").json}
    assert "freeze" in rows["eye"]["searched"]


def test_the_dashboard_shows_the_trials(mine, lab):
    pytest.importorskip("optuna_dashboard")
    transfer_kit("sweep", "mine.yaml", "--timeout", "0s")
    port = _free_port()
    words = [
        sys.executable,
        "-m",
        "transfer_kit",
        "sweep",
        "dashboard",
        "mine",
        "--port",
        str(port),
    ]
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        text=True,
        env=subprocess_environment(),
        cwd=lab,
        # A shell lets its background jobs, and so their children, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert re.search(rf"http://127\.0\.0\.1:{port}/dashboard", process.stdout.readline())
            studies = _answer(f"http://127.0.0.1:{port}/api/studies")
            assert [study["study_name"] for study in studies["study_summaries"]] == ["mine"]
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert process.returncode == 0


def _answer(address):
    for _ in range(100):
        try:
            with urllib.request.urlopen(address, timeout=30) as response:
                return json.loads(response.read())
        except OSError:
            time.sleep(0.2)
    raise AssertionError(address)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_other_machines_need_a_database_and_no_password_in_files(mine, lab, monkeypatch):
    said = transfer_kit("sweep", "mine.yaml", "--engine", "ray", code=2).error
    assert "which others cannot share; begin it with --storage" in said
    url = "sqlite:///shared.db?password=secret"
    words = ("sweep", "mine.yaml", "--name", "other", "--engine", "slurm", "--storage", url)
    said = transfer_kit(*words, code=2).error
    assert "set TRANSFER_KIT_STORAGE in place of --storage" in said
    assert "secret" not in said
