"""`--freeze` in all its forms, and what is shown of it."""

from __future__ import annotations

import pytest
import torch
from laboratory import BASE, SHORT, TARGET, transfer_kit
from mlflow import MlflowClient
from safetensors.torch import load_file

from transfer_kit.recipe import Recipe
from transfer_kit.tracking import store_uri

pytest_plugins = ["lab_fixtures"]

FINETUNE = ("finetune", "--base", BASE, "--target", TARGET, "--labels", "4")


def planned(*words):
    return transfer_kit(*FINETUNE, *words, "--dry-run", "--json").json


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        ("2", ["input", "down1"]),
        ("down*", ["down1", "down2", "down3", "down4"]),
        ("input,down1", ["input", "down1"]),
        ("0:3,50:1,100:0", ["input", "down1", "down2"]),
        ("0:input,up1,50:0", ["input", "up1"]),
    ],
)
def test_the_flag_takes_counts_names_and_schedules(lab, freeze, frozen):
    for words in (("--freeze", freeze), ("--set", f"freeze={freeze}")):
        blocks = planned(*words)["blocks"]
        assert [block["name"] for block in blocks if block["frozen"]] == frozen


def test_the_plan_shows_each_block_with_its_state_parameters_and_rate(lab):
    said = transfer_kit(
        *(*FINETUNE, "--freeze", "0:2,50:1", "--set", "train.optimizer.block_decay=0.5"),
        *("--set", "train.optimizer.learning_rate=0.008", "--dry-run"),
    ).out
    rows = {}
    for line in said.splitlines():
        cells = [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")]
        if len(cells) == 5:
            rows[cells[0]] = cells[1:]
    assert rows["input"] == ["frozen", rows["input"][1], "0", ""]
    assert rows["down1"][0] == "frozen, learns from step 50 on"
    assert rows["down1"][1] == rows["down1"][2] != "0"
    assert rows["up4"][0] == "learns"
    assert rows["up4"][3] == "0.004"
    assert rows["output"][3] == "0.008"


def test_a_note_says_what_of_a_schedule_is_never_reached(lab):
    said = transfer_kit(*FINETUNE, "--freeze", "0:2,9000:1", "--dry-run").out
    assert "before step 9000 of the schedule" in said


def test_a_run_with_a_schedule_is_kept_found_and_told_by_it(lab):
    document = transfer_kit(*FINETUNE, "--freeze", "0:9,4:input,12:0", *SHORT, "--json").json
    run = lab / document["run"]
    assert "-freeze0-9-4-input-12-0-seed0-" in run.name
    assert Recipe.read(run / "recipe.yaml").freeze == {0: 9, 4: ("input",), 12: 0}
    tracked = MlflowClient(tracking_uri=store_uri()).get_run(document["mlflow_run_id"]).data
    assert tracked.tags["freeze"] == tracked.params["freeze"] == "0:9,4:input,12:0"
    assert load_file(run / "detector.safetensors").keys() == load_file(lab / BASE).keys()


def test_frozen_names_are_the_base_s_bytes_in_the_run_s_detector(lab):
    document = transfer_kit(*FINETUNE, "--freeze", "down*,up1", *SHORT, "--json").json
    before = load_file(lab / BASE)
    after = load_file(lab / document["run"] / "detector.safetensors")
    frozen = {"down1", "down2", "down3", "down4", "up1"}
    kept = [name for name in before if name.split(".")[0] in frozen]
    assert kept
    assert all(torch.equal(before[name], after[name]) for name in kept)
