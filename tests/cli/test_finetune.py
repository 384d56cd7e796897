from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from laboratory import (
    BASE,
    OWN,
    SHORT,
    TARGET,
    WHOLE,
    listing,
    subprocess_environment,
    transfer_kit,
)
from mlflow import MlflowClient
from safetensors.torch import load_file

from transfer_kit.recipe import Recipe
from transfer_kit.tracking import store_uri

pytest_plugins = ["lab_fixtures"]

ASKED = {
    "run",
    "mlflow_run_id",
    "target",
    "n_train_images",
    "n_train_nuclei",
    "trainable_parameters",
    "base",
    "base_recalibrated",
    "finetuned",
    "scratch",
}
BESIDES = {
    "n_validation_images",
    "n_auxiliary_images",
    "seconds",
    "gain_over_recalibrated",
    "forgetting",
    "notes",
}
FIGURES = {
    "f1",
    "precision",
    "recall",
    "f1_low",
    "f1_high",
    "distance_median",
    "n_images",
    "n_nuclei",
    "radius_um",
    "threshold",
}
COLUMNS = ("base", "base_recalibrated", "finetuned", "scratch")


def hears_ctrl_c():
    """Undo that a shell lets its background jobs, and so their children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(*words):
    """The command in a process of its own, for what a signal does to it."""
    aside = Path("temporary").absolute()
    aside.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "transfer_kit", *map(str, words)],
        env=subprocess_environment() | {"TMPDIR": str(aside)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_ctrl_c,
    )


def wait_for(process, pattern, *, seconds=120):
    """The first file that matches, as soon as it is there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := sorted(Path.cwd().glob(pattern)):
            return found[0]
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError(f"{pattern} did not come")


def test_standard_output_is_one_object_with_the_keys_that_programs_read(finished):
    document = json.loads(finished.said.out)
    assert set(document) == ASKED | BESIDES
    for column in COLUMNS:
        assert set(document[column]) == {"test"}
        assert set(document[column]["test"]) >= FIGURES
    assert document["target"] == TARGET
    assert document["n_train_images"] == 8
    assert Path(document["run"]).is_dir()


def test_the_figures_are_of_the_same_test_images_and_radius(finished):
    tests = [finished.said.json[column]["test"] for column in COLUMNS]
    for name in ("n_images", "n_nuclei", "radius_um"):
        assert len({test[name] for test in tests}) == 1
    for test in tests:
        assert test["f1_low"] <= test["f1"] <= test["f1_high"]


def test_what_a_person_reads_goes_to_standard_error_and_says_the_same(finished):
    document, said = finished.said.json, finished.said.err
    for title in ("base as it is", "base, recalibrated", "fine-tuned", "from scratch"):
        assert title in said
    for column in COLUMNS:
        assert f"{document[column]['test']['f1']:.3f}" in said
    assert f"{document['trainable_parameters']:,} parameters" in said
    assert "8 training images of 4 cases" in said
    assert "2 blocks (input, down1)" in said
    assert f"Run folder: {document['run']}" in said
    assert "transfer-kit ui" in said


def test_forgetting_is_told_before_and_after(finished):
    (kept,) = finished.said.json["forgetting"]
    assert kept["dataset"] == OWN
    assert kept["stands_in"] is False
    before, after = kept["before"]["f1"], kept["after"]["f1"]
    assert f"{OWN} (base's held-out): F1 {before:.3f} before, {after:.3f} after" in (
        finished.said.err
    )


def test_a_dry_run_says_the_plan_and_writes_nothing(lab):
    before = listing(lab)
    said = transfer_kit("finetune", "--base", BASE, "--target", TARGET, "--freeze", 3, "--dry-run")
    assert "3 blocks (input, down1, down2)" in said.out
    assert "4 validation images" in said.out
    document = transfer_kit(
        *("finetune", "--base", BASE, "--target", TARGET, "--labels", "5", "--dry-run", "--json")
    ).json
    assert (document["n_train_images"], document["n_validation_images"]) == (5, 0)
    assert document["n_test_images"] == 4
    assert listing(lab) == before


def test_a_single_image_case_block_or_crop_is_told_as_one(lab):
    said = transfer_kit(
        *("finetune", "--base", BASE, "--target", TARGET, "--labels", "1", "--freeze", 1),
        *("--set", "train.batch_size=1", "--dry-run"),
    ).out
    assert "1: 1 training image of 1 case with " in said
    assert " nuclei, 0 validation images" in said
    assert "1 block (input)" in said
    assert " steps of 1 crop of " in said


def test_without_base_or_validation_the_detector_is_called_trained(lab):
    said = transfer_kit(
        *("finetune", "--base", "none", "--target", f"./{TARGET}", "--labels", "1"),
        *("--freeze", 1, *SHORT, "--set", "network.options.width=4", "--set", "train.steps=8"),
        "--json",
    )
    document = said.json
    assert set(document) == ASKED | BESIDES
    assert document["base"] is document["base_recalibrated"] is document["scratch"] is None
    assert document["finetuned"]["test"]["n_images"] == 4
    assert document["n_train_images"] == 1
    assert document["forgetting"] == []
    assert document["gain_over_recalibrated"] is None
    assert "trained" in said.err
    assert "fine-tun" not in said.err
    assert "freeze: 1 is left out" in said.err
    run = lab / document["run"]
    assert run.name.startswith("none-to-eye-lab-freeze0-seed0-")
    assert set(pd.read_csv(run / "curves.csv").training) == {"trained"}
    assert Recipe.read(run / "recipe.yaml").train.steps == 8


def test_a_recipe_file_is_laid_under_the_options(lab):
    (lab / "mine.yaml").write_text(
        f"target: {TARGET}\nlabels: 5\nfreeze: 1\ntrain: {{steps: 9, batch_size: 3}}\n"
    )
    (lab / "runs").mkdir()
    plan = transfer_kit(
        *("finetune", "--recipe", "mine.yaml", "--base", BASE, "--freeze", 2),
        *("--set", "train.batch_size=7", "--dry-run"),
    )
    assert "9 steps of 7 crops" in plan.out
    assert "2 blocks" in plan.out
    assert "5: 5 training images" in plan.out


def test_a_shipped_recipe_goes_by_its_name(lab):
    plan = transfer_kit(
        *("finetune", "--recipe", "papers/micronet", "--target", TARGET, "--dry-run"),
        *("--set", "network.options.width=4"),
    )
    assert "100,000 steps of 4 crops of 200² px" in plan.out


def same_but_for(one, other, *left_out):
    assert {k: v for k, v in one.items() if k not in left_out} == {
        k: v for k, v in other.items() if k not in left_out
    }


def mlflow_ids(run):
    """The identifiers that the folders know: the fine-tuning's, and the scratch training's."""
    files = (run / "options.json", run / "scratch" / "options.json")
    return [json.loads(file.read_text())["mlflow_run_id"] for file in files if file.is_file()]


@pytest.mark.parametrize(
    ("killed_in", "trainings_begun"),
    [("checkpoints", 1), pytest.param("scratch/checkpoints", 2, marks=pytest.mark.slow)],
)
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(
    finished, lab, killed_in, trainings_begun
):
    process = started(*WHOLE)
    checkpoint = wait_for(process, f"runs/*/{killed_in}/last.ckpt")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (run,) = (lab / "runs").iterdir()
    begun = mlflow_ids(run)
    assert len(begun) == trainings_begun
    assert not (run / "metrics.json").exists()
    assert torch.load(checkpoint, weights_only=True)["step"] < 16
    assert not list((lab / "temporary").glob("transfer-kit-*"))

    document = transfer_kit("finetune", "--resume", run, "--device", "cpu", "--json").json

    same_but_for(document, finished.said.json, "run", "mlflow_run_id", "seconds")
    for folder, other in ((run, finished.run), (run / "scratch", finished.run / "scratch")):
        one, two = (load_file(each / "detector.safetensors") for each in (folder, other))
        assert all(one[name].numpy().tobytes() == two[name].numpy().tobytes() for name in two)
        assert (folder / "recipe.yaml").read_bytes() == (other / "recipe.yaml").read_bytes()
        assert (folder / "curves.csv").read_bytes() == (other / "curves.csv").read_bytes()
    assert set(listing(run)) == set(listing(finished.run))

    tuned, scratch = mlflow_ids(run)
    assert [tuned, scratch][:trainings_begun] == begun
    assert document["mlflow_run_id"] == tuned
    client = MlflowClient(tracking_uri=store_uri())
    experiment = client.get_experiment_by_name(TARGET)
    logged = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    assert set(logged) == {tuned, scratch}
    for run_id, steps in ((tuned, [0, 4, 8, 12, 16]), (scratch, [4, 8, 12, 16])):
        assert logged[run_id].info.status == "FINISHED"
        points = {(p.step, p.value) for p in client.get_metric_history(run_id, "val/f1")}
        assert sorted(step for step, _ in points) == steps
    assert logged[tuned].data.tags["compared_with"] == scratch
    assert logged[scratch].data.tags["compared_with"] == tuned


def test_ctrl_c_in_a_training_keeps_the_checkpoint_and_says_how_to_go_on(lab):
    process = started(*WHOLE[:-1], "--set", "train.steps=4000", "--json")
    checkpoint = wait_for(process, "runs/*/checkpoints/last.ckpt")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)
    run = checkpoint.parents[1].relative_to(lab)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert last == f"Stopped. Go on with: transfer-kit finetune --resume {run} --device cpu"
    assert torch.load(checkpoint, weights_only=True)["step"] >= 4
    assert not (run / "detector.safetensors").exists()
    assert not list((lab / "temporary").glob("transfer-kit-*"))
    assert not [name for name in listing(lab / run) if Path(name).name.startswith(".")]
    client = MlflowClient(tracking_uri=store_uri())
    logged = client.get_run(json.loads((run / "options.json").read_text())["mlflow_run_id"])
    assert logged.info.status == "KILLED"
    plan = transfer_kit("finetune", "--resume", run, "--dry-run")
    assert "4,000 steps" in plan.out


def test_ctrl_c_before_the_training_leaves_nothing(lab, monkeypatch):
    def interrupted(recipe):
        raise KeyboardInterrupt

    monkeypatch.setattr("transfer_kit.plan.make_plan", interrupted)
    before = listing(lab)
    said = transfer_kit("finetune", "--base", BASE, "--target", TARGET, code=130)
    assert said.err == "Stopped. Nothing was left half-written.\n"
    assert listing(lab) == before


def test_a_finished_run_that_is_resumed_measures_the_same_again(lab):
    words = ("finetune", "--base", BASE, "--target", TARGET, *SHORT, "--set", "train.steps=4")
    first = transfer_kit(*words, "--json").json
    again = transfer_kit("finetune", "--resume", first["run"], "--device", "cpu", "--json").json
    same_but_for(first, again, "seconds")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--freeze", 2], "leave out freeze, or start a new run"),
        (["--set", "train.steps=3"], "leave out train.steps, or start a new run"),
        (["--recipe", "mine.yaml"], "leave out --recipe, or start a new run"),
        (["--compare-scratch"], "which was without --compare-scratch; leave it out"),
    ],
)
def test_a_resumed_run_takes_no_other_recipe(lab, words, said):
    (lab / "run").mkdir()
    (lab / "run" / "options.json").write_text('{"compare_scratch": false}')
    Recipe(base=BASE, target=TARGET).write(lab / "run" / "recipe.yaml")
    assert said in transfer_kit("finetune", "--resume", "run", *words, code=2).error


def test_what_is_no_run_folder_cannot_be_resumed(lab):
    said = transfer_kit("finetune", "--resume", TARGET, code=2).error
    assert said == f"{TARGET} is no run folder (it has no recipe.yaml); check the path."


def test_the_module_runs_as_a_command(lab):
    done = subprocess.run(
        [sys.executable, "-m", "transfer_kit", "finetune"],
        env=subprocess_environment() | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: No target is named; add --target with an organ")
