from __future__ import annotations

import pandas as pd
import pytest
from laboratory import BASE, TARGET, transfer_kit
from mlflow import MlflowClient

from transfer_kit.tracking import store_uri

pytest_plugins = ["lab_fixtures"]

STUDY = f"""
question: How many blocks may be frozen?
set:
  base: {BASE}
  target: {TARGET}
  patches.size_px: 48
  train: {{steps: 4, validate_every: 2, batch_size: 2}}
vary:
  freeze: [0, 2, 99]
summary: {{kind: line, x: freeze, label: blocks frozen}}
finding:
  - {{say: two against none, of: {{freeze: 2}}, against: {{freeze: 0}}}}
"""


@pytest.fixture
def mine(lab):
    path = lab / "mine.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_a_trial_that_fails_is_told_and_the_others_go_on_and_nothing_runs_again(mine, lab):
    said = transfer_kit("study", mine, "--json", code=1)
    failed = said.json["failed"]
    assert list(failed) == ["freeze=99"]
    assert "10 blocks" in failed["freeze=99"]
    assert said.json["sentence"].startswith("Two against none: F1 ")
    assert "2 of 3 trials" in said.json["sentence"]
    assert list(pd.read_csv(said.json["rows"])["freeze"]) == [0, 2]
    assert "1/3 freeze=0: done" in said.err

    states = {
        row["trial"]: row["state"] for row in transfer_kit("study", mine, "--list", "--json").json
    }
    assert states == {"freeze=0": "done", "freeze=2": "done", "freeze=99": "waiting"}

    again = transfer_kit("study", mine, "--set", "freeze=[0,2]")
    assert "2 trials, 0 of them to be run" in again.err
    assert "2 of 2 trials" in again.out

    client = MlflowClient(tracking_uri=store_uri())
    experiment = client.get_experiment_by_name("study mine")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"mine", "freeze=0", "freeze=2"}
    parents = {runs[name].data.tags["mlflow.parentRunId"] for name in ("freeze=0", "freeze=2")}
    assert parents == {runs["mine"].info.run_id}
    assert 0 <= runs["freeze=2"].data.metrics["test/f1"] <= 1
    trials = [runs[name].data for name in ("freeze=0", "freeze=2")]
    for trial in trials:
        assert trial.tags["device"]
        assert trial.metrics["system/cpu_utilization_percentage"] >= 0
    assert len({trial.tags["data.training"] for trial in trials}) == 1
    contexts = {each.tags[0].value for each in runs["freeze=0"].inputs.dataset_inputs}
    assert {"training", "testing"} <= contexts


def test_a_table_trains_nothing(mine, lab):
    said = transfer_kit("study", mine, "--table", lab / "out", code=2)
    assert said.error == "No trial of the study mine has run yet, so there is nothing to write."
    assert not (lab / "out").exists()


def test_a_study_that_trains_nothing_has_no_trainings_to_compare(mine):
    text = STUDY.partition("finding:")[0].replace("[0, 2, 99]", "[0]")
    mine.write_text(text + "columns: [base]\n", encoding="utf-8")
    transfer_kit("study", mine)
    assert transfer_kit("compare", mine, code=2).error == (
        "The study mine trains nothing; 'transfer-kit study mine --table FOLDER' writes what it "
        "found."
    )


def test_without_a_name_the_shipped_studies_are_told(lab):
    rows = {row["name"]: row for row in transfer_kit("study", "--json").json}
    assert rows["freezing"]["trials"] == 2 * (10 + 1) * 3
    assert rows["freezing"]["question"] == "How many blocks may be frozen?"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["freezin"], "There is no study 'freezin'. Did you mean 'freezing'?"),
        (["mine.yaml", "--set", "freeze"], "--set 'freeze' has no value"),
        (["mine.yaml", "--set", "train.step=3"], "there is no field 'train.step'"),
        (["mine.yaml", "--only", "*=7"], "No trial's name matches --only '*=7'"),
    ],
)
def test_bad_words_are_one_sentence(mine, words, said):
    assert said in transfer_kit("study", *words, code=2).error
