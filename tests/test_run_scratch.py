"""The training from scratch that a fine-tuning is compared with, as a run of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from laboratory import BASE, TARGET, listing
from mlflow import MlflowClient
from PIL import Image

from transfer_kit.detector import Detector
from transfer_kit.evaluation import evaluate, examine
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.run import run_recipe
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.tracking import store_uri

pytest_plugins = ["lab_fixtures"]


@pytest.fixture
def client(finished):
    return MlflowClient(tracking_uri=store_uri())


@pytest.fixture
def runs(finished, client):
    """The MLflow runs of the fine-tuning and of the training from scratch."""
    experiment = client.get_experiment_by_name(TARGET)
    by_name = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(by_name) == {finished.run.name, f"scratch-{finished.run.name}"}
    return by_name[finished.run.name], by_name[f"scratch-{finished.run.name}"]


def scratch_metrics(finished):
    return json.loads((finished.run / "scratch" / "metrics.json").read_text())


def history(client, run, name):
    return {point.step: point.value for point in client.get_metric_history(run.info.run_id, name)}


def files_of(client, run, folder=None):
    """Every file of an MLflow run, as in a folder's listing."""
    found = set()
    for entry in client.list_artifacts(run.info.run_id, folder):
        found |= files_of(client, run, entry.path) if entry.is_dir else {entry.path}
    return found


def test_its_folder_holds_what_a_run_folder_holds(finished):
    whole = set(listing(finished.run))
    assert set(listing(finished.run / "scratch")) == {
        name for name in whole if not name.startswith("scratch")
    }
    for image in (finished.run / "scratch").glob("*/*.png"):
        assert np.asarray(Image.open(image)).std() > 0


def test_its_recipe_has_no_base_and_else_says_the_same(finished):
    tuned = Recipe.read(finished.run / "recipe.yaml")
    recipe = Recipe.read(finished.run / "scratch" / "recipe.yaml")
    assert (recipe.base, recipe.freeze) == ("none", 0)
    assert recipe == tuned.replaced(base="none", freeze=0)
    assert make_plan(recipe).recipe == recipe


def test_batch_norms_kept_from_the_base_learn_without_one(lab):
    train = {"steps": 2, "validate_every": 2, "batch_size": 2, "batch_norm": "frozen"}
    recipe = Recipe(
        base=BASE,
        target=TARGET,
        freeze=1,
        train=train,
        patches={"size_px": 48},
        evaluation={"figures": False},
    )
    result = run_recipe(make_plan(recipe), lab / "run", device="cpu", compare_scratch=True)
    assert result.plan.recipe.train.batch_norm == "frozen"
    plan = result.scratch.plan
    assert plan.recipe.train.batch_norm == "train"
    assert not [block for block in plan.blocks if block.frozen]
    assert plan.trainable == sum(p.numel() for p in plan.start.network.parameters())
    assert plan.trainable > result.plan.trainable
    assert result.as_dict()["scratch"]["test"] == result.scratch.columns["scratch"].scores.as_dict()


def test_the_two_stand_side_by_side_and_name_each_other(runs):
    tuned, scratch = runs
    assert tuned.info.experiment_id == scratch.info.experiment_id
    assert scratch.info.status == "FINISHED"
    assert tuned.data.tags["compared_with"] == scratch.info.run_id
    assert scratch.data.tags["compared_with"] == tuned.info.run_id
    assert not {"mlflow.parentRunId"} & (set(tuned.data.tags) | set(scratch.data.tags))


def test_its_tags_and_parameters_are_its_own(runs):
    tuned, scratch = runs
    names = ("base", "freeze", "target", "model", "codec", "stain", "labels")
    assert [scratch.data.tags[name] for name in names[:2]] == ["none", "0"]
    assert [scratch.data.tags[n] for n in names[2:]] == [tuned.data.tags[n] for n in names[2:]]
    unlike = {k for k, v in tuned.data.params.items() if scratch.data.params.get(k) != v}
    assert unlike == {"base", "freeze"}
    assert set(scratch.data.params) == set(tuned.data.params)


def test_both_learned_and_are_judged_on_the_same_data(runs):
    tuned, scratch = (
        {
            (each.dataset.name, each.dataset.digest, each.tags[0].value)
            for each in run.inputs.dataset_inputs
        }
        for run in runs
    )
    assert scratch == tuned
    assert len(scratch) == 3


def test_both_curves_go_by_the_same_names_so_that_charts_lay_them_over_each_other(
    finished, client, runs
):
    tuned, scratch = runs
    curves = pd.read_csv(finished.run / "scratch" / "curves.csv")
    assert set(curves.training) == {"from scratch"}
    both = pd.read_csv(finished.run / "curves.csv")
    beside = both[both.training == "from scratch"].reset_index(drop=True)
    pd.testing.assert_frame_equal(curves, beside[curves.columns])
    for name in ("train/loss", "learning_rate", "val/f1", "val/threshold"):
        known = dict(zip(curves.step, curves[name], strict=True))
        assert history(client, scratch, name) == pytest.approx(known)
        assert set(history(client, tuned, name)) >= set(known)


def test_its_test_figures_are_those_of_the_fine_tuning_s_scratch_column(finished, runs):
    tuned, scratch = runs
    column = finished.said.json["scratch"]["test"]
    for name in ("f1", "precision", "recall", "threshold"):
        assert scratch.data.metrics[f"test/{name}"] == pytest.approx(column[name])
    assert tuned.data.metrics["test/f1_scratch"] == pytest.approx(column["f1"])
    assert not [name for name in scratch.data.metrics if name.startswith("test/f1_base")]
    document = scratch_metrics(finished)
    assert document["scratch"]["test"] == column
    assert document["mlflow_run_id"] == scratch.info.run_id
    assert document["base"] is document["finetuned"] is None


def test_mlflow_holds_its_files_and_overlays_of_the_same_test_images(finished, client, runs):
    tuned, scratch = runs
    assert files_of(client, scratch) == files_of(client, tuned)
    folder = finished.run / "scratch"
    for name in files_of(client, scratch):
        copy = client.download_artifacts(scratch.info.run_id, name)
        assert (folder / name).read_bytes() == Path(copy).read_bytes(), name


def test_its_detector_is_a_logged_model_that_measures_as_its_card_says(finished, client, runs):
    (output,) = runs[1].outputs.model_outputs
    assert client.get_logged_model(output.model_id).status == "READY"
    detector = Detector.load(finished.run / "scratch" / "detector.safetensors")
    assert detector.card.name == f"scratch-{finished.run.name}"
    assert detector.card.base is None
    assert {part.dataset for part in detector.card.data} == {TARGET}
    scores = evaluate(
        examine(detector, find_dataset(TARGET).split("test")),
        radius_um=detector.card.radius_um,
        threshold=detector.card.threshold,
    )
    measured = json.loads(json.dumps(scores.as_dict()))
    assert (
        measured == detector.card.measured[0].scores == scratch_metrics(finished)["scratch"]["test"]
    )
