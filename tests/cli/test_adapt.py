from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from laboratory import BASE, OWN, TARGET, listing, tiny_base, transfer_kit
from mlflow import MlflowClient
from safetensors.torch import load_file
from stained_images import stained_image

from transfer_kit.cli.tell_adaptation import adaptation_verdicts
from transfer_kit.data.stain import StainReference
from transfer_kit.detector import Detector
from transfer_kit.evaluation import Difference
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.tracking import store_uri
from transfer_kit.training.self_training import SelfTrainingModule

pytest_plugins = ["lab_fixtures"]

ADAPT = ("adapt", "--base", BASE, "--target", TARGET, "--device", "cpu")
SELF = (
    *("--set", "train.steps=6"),
    *("--set", "train.validate_every=3", "--set", "train.batch_size=2"),
    *("--set", "patches.size_px=48"),
)
KEYS = {
    "run",
    "mlflow_run_id",
    "target",
    "adaptation",
    "n_unlabelled_images",
    "threshold",
    "seconds",
    "base",
    "adapted",
    "gain_over_base",
    "forgetting",
    "notes",
}


THRESHOLD = 0.01


@pytest.fixture
def finding(lab):
    """The lab with a base that finds something, which it can learn from."""
    base = Detector.load(BASE)
    base.card.threshold = THRESHOLD
    with torch.no_grad():
        list(base.network.parameters())[-1].fill_(1.0)  # maps above zero, which have maxima
    base.save(BASE)
    return lab


def test_self_training_leaves_what_a_run_leaves_and_logs_it(finding):
    lab = finding
    said = transfer_kit(*ADAPT, *SELF, "--json")
    document = said.json
    assert set(document) == KEYS
    assert document["adaptation"] == "self_training"
    assert document["n_unlabelled_images"] == 8
    for title in ("base as it is", "adapted without labels"):
        assert title in said.err
    for column in ("base", "adapted"):
        assert f"{document[column]['test']['f1']:.3f}" in said.err
        assert document[column]["test"]["threshold"] == document["threshold"] == THRESHOLD
    assert "annotations not read" in said.err
    assert f"the threshold stays the base's, {THRESHOLD:.3f}" in said.err
    assert f"{OWN} (base's held-out): F1" in said.err
    run = lab / document["run"]
    assert run.name.startswith("base-to-eye-lab-self_training-seed0-")
    curves = pd.read_csv(run / "curves.csv")
    assert list(curves.step) == [3, 6]
    assert (curves["teacher/nuclei_per_mm2"] > 0).all()
    assert set(curves.training) == {"adapted without labels"}
    assert {path.name for path in (run / "figures").iterdir()} == {"precision_recall.png"}
    assert len(list((run / "overlays").iterdir())) == 4
    client = MlflowClient(tracking_uri=store_uri())
    logged = client.get_run(document["mlflow_run_id"])
    assert logged.data.tags["adaptation"] == "self_training"
    assert logged.data.tags["labels"] == "none"
    assert logged.data.metrics["test/f1"] == pytest.approx(document["adapted"]["test"]["f1"])
    assert logged.data.metrics["test/f1_base"] == pytest.approx(document["base"]["test"]["f1"])
    points = client.get_metric_history(document["mlflow_run_id"], "teacher/sure_share")
    assert [point.step for point in points] == [3, 6]
    inputs = {i.tags[0].value: json.loads(i.dataset.profile) for i in logged.inputs.dataset_inputs}
    assert inputs["training"]["num_nuclei"] == 0
    assert inputs["training"]["num_images"] == 8


def test_an_interrupted_run_goes_on_to_the_same_detector(finding, monkeypatch):
    lab = finding
    whole = lab / transfer_kit(*ADAPT, *SELF, "--json").json["run"]
    step = SelfTrainingModule.on_train_batch_end

    def interrupt(self, *arguments):
        step(self, *arguments)
        if self.step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(SelfTrainingModule, "on_train_batch_end", interrupt)
    stopped = transfer_kit(*ADAPT, *SELF, "--runs", "others", code=130)
    monkeypatch.undo()
    (run,) = (lab / "others").iterdir()
    place = run.relative_to(lab)
    assert stopped.err.splitlines()[-1] == (
        f"Stopped. Go on with: transfer-kit adapt --resume {place} --device cpu"
    )
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["step"] == 3
    transfer_kit("adapt", "--resume", place, "--device", "cpu")
    one, two = (load_file(folder / "detector.safetensors") for folder in (whole, run))
    assert all(torch.equal(one[name], two[name]) for name in one)
    base = load_file(BASE)
    weights = [name for name in base if name.endswith("weight")]
    assert sum(not torch.equal(base[name], one[name]) for name in weights) > len(weights) / 2
    assert (whole / "curves.csv").read_bytes() == (run / "curves.csv").read_bytes()
    options = json.loads((run / "options.json").read_text())
    client = MlflowClient(tracking_uri=store_uri())
    assert client.get_run(options["mlflow_run_id"]).info.status == "FINISHED"


def test_a_folder_of_images_is_adapted_to_by_batch_norm_and_nothing_is_measured(lab):
    (lab / "new").mkdir()
    for sample in find_dataset(TARGET).split("train"):
        shutil.copy(sample.image_path, lab / "new")
    said = transfer_kit(
        *("adapt", "--base", BASE, "--images", "new", "--mpp", 0.25, "--json", "--device", "cpu"),
        *("--set", "patches.size_px=48", "--recipe", "adaptation/batch-norm"),
    )
    document = said.json
    assert document["base"] is document["adapted"] is document["gain_over_base"] is None
    assert document["adaptation"] == "batch_norm"
    assert "Nothing could be measured without labels" in said.err
    run = lab / document["run"]
    assert list(pd.read_csv(run / "curves.csv").columns) == ["training", "step"]
    assert Detector.load(run / "detector.safetensors").card.data[-1].dataset == "new"
    again = transfer_kit("adapt", "--resume", document["run"], "--device", "cpu", "--json").json
    assert again["n_unlabelled_images"] == 8
    one = transfer_kit(
        "predict", "new/c00_0.png", "--model", run, "-o", "found", "--mpp", 0.25, "--device", "cpu"
    )
    assert "c00_0" in one.out


def test_stain_wants_a_reference_and_then_uses_it(lab):
    words = (*ADAPT, "--recipe", "adaptation/stain")
    before = listing(lab)
    assert transfer_kit(*words, code=2).error.startswith(
        "The card of tiny-breast holds no stain reference; set stain.reference to "
    )
    assert listing(lab) == before
    tiny_base(lab / BASE, stain_reference=StainReference.of_images([stained_image()], "ours"))
    said = transfer_kit(*words)
    assert "images brought to ours by macenko" in said.out


def test_a_dry_run_says_the_plan_and_writes_nothing(lab):
    before = listing(lab)
    said = transfer_kit(*ADAPT, *SELF, "--dry-run")
    assert "6 steps of 2 crops of 48² px" in said.out
    assert "8 images of 4 cases" in said.out
    document = transfer_kit(*ADAPT, "--dry-run", "--json").json
    assert (document["n_unlabelled_images"], document["n_test_images"]) == (8, 4)
    assert listing(lab) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("adapt", "--base", BASE),
            "There is nothing to adapt to; add --target with an organ or a dataset, or --images "
            "with a folder of images.",
        ),
        (
            ("adapt", "--target", TARGET),
            "Adapting without labels needs a base, since images alone teach no detector from "
            "nothing; name one with --base (see 'transfer-kit models list').",
        ),
        (
            (*ADAPT, "--mpp", 0.25),
            "--mpp is of a folder of bare images, and --images names none; the scale of a dataset "
            "stands in its dataset.yaml.",
        ),
        (
            ("adapt", "--base", BASE, "--images", "nowhere"),
            "nowhere is no folder of images; check the path.",
        ),
        (
            (*ADAPT, "--recipe", "everyday/finetune"),
            "The recipe finetune says no adaptation.name, so it learns from labels; choose "
            "adaptation/batch-norm, adaptation/stain or adaptation/self-training, or run "
            "'transfer-kit finetune'.",
        ),
        (
            ("finetune", "--base", BASE, "--target", TARGET, "--recipe", "adaptation/stain"),
            "The recipe stain adapts without labels (adaptation.name: stain); run it with "
            "'transfer-kit adapt'.",
        ),
        (
            ("adapt", "--resume", TARGET),
            f"{TARGET} is no run folder (it has no recipe.yaml); check the path.",
        ),
    ],
)
def test_a_wrong_use_is_told_in_one_sentence(lab, words, sentence):
    before = listing(lab)
    assert transfer_kit(*words, code=2).error.replace(f"{lab}/", "") == sentence
    assert listing(lab) == before


class Told:
    """A result as far as its verdict looks."""

    def __init__(self, *difference):
        self.gain = Difference(*difference, n_cases=4) if difference else None
        self.forgetting = ()
        self.folder = Path("runs/one")


@pytest.mark.parametrize(
    ("difference", "sentence"),
    [
        (
            (0.05, 0.01, 0.09),
            "Adapting gained +0.050 F1 (95 % interval +0.010 to +0.090) over the base as it is.",
        ),
        (
            (0.05, None, None),
            "Adapting against the base as it is: +0.050 F1; too few test cases to be sure that it "
            "helps.",
        ),
        (
            (-0.02, -0.05, 0.01),
            "Adapting made it worse than the base as it is: -0.020 F1 (95 % interval -0.050 to "
            "+0.010). Keep the base.",
        ),
        (
            (0.0, None, None),
            "Adapting made it no better than the base as it is: +0.000 F1. Keep the base.",
        ),
    ],
)
def test_the_verdict_says_whether_it_helped(difference, sentence):
    assert adaptation_verdicts(Told(*difference)) == [sentence]
