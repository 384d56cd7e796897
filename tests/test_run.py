from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from laboratory import BASE, OWN, TARGET, listing
from mlflow import MlflowClient
from PIL import Image
from safetensors import safe_open

from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import best_threshold, evaluate, examine
from transfer_kit.plan import make_plan
from transfer_kit.process_lock import ProcessLock
from transfer_kit.recipe import Recipe
from transfer_kit.run import run_recipe
from transfer_kit.run_data import data_of, digests_by_context
from transfer_kit.run_folder import LOCK, new_folder
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.tracking import store_uri

pytest_plugins = ["lab_fixtures"]

QUICK = {
    "train": {"steps": 4, "validate_every": 2, "batch_size": 2},
    "patches": {"size_px": 48},
    "evaluation": {"figures": False},
}


def run_of(folder, *, compare_scratch=False, **fields):
    plan = make_plan(Recipe(**{"base": BASE, "target": TARGET, **QUICK, **fields}))
    return run_recipe(plan, folder, device="cpu", compare_scratch=compare_scratch)


def tensors(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def mlflow_run(finished):
    client = MlflowClient(tracking_uri=store_uri())
    return client, client.get_run(finished.said.json["mlflow_run_id"])


def test_a_finished_run_leaves_recipe_detector_metrics_curves_figures_and_overlays(finished):
    found = listing(finished.run)
    overlays = {name for name in found if name.startswith("overlays/")}
    scratch = {name for name in found if name.startswith("scratch")}
    assert set(found) - overlays - scratch == {
        "recipe.yaml",
        "pair.yaml",
        "options.json",
        "environment.json",
        "data.json",
        "metrics.json",
        "test_images.csv",
        "curves.csv",
        "detector.safetensors",
        "figures",
        "figures/precision_recall.png",
        "figures/learning_curves.png",
        "overlays",
        "checkpoints",
        "checkpoints/last.ckpt",
    }
    assert len(overlays) == 4
    for name in overlays | {n for n in found if n.endswith(".png")}:
        assert np.asarray(Image.open(finished.run / name)).std() > 0


def test_the_metrics_file_is_what_the_command_printed(finished):
    assert json.loads((finished.run / "metrics.json").read_text()) == finished.said.json


def test_the_recipe_in_the_folder_makes_the_same_plan(finished):
    recipe = Recipe.read(finished.run / "recipe.yaml")
    assert (recipe.base, recipe.target, recipe.freeze) == (BASE, TARGET, 2)
    assert recipe.train.steps == 16
    assert recipe.network.options["width"] == 4
    assert make_plan(recipe).recipe == recipe


def test_frozen_blocks_are_byte_equal_in_base_and_result_and_others_are_not(finished):
    base = tensors(finished.folder / BASE)
    tuned = tensors(finished.run / "detector.safetensors")
    assert base.keys() == tuned.keys()
    equal = {
        name
        for name, value in base.items()
        if value.numpy().tobytes() == tuned[name].numpy().tobytes()
    }
    frozen = {name for name in base if name.split(".")[0] in ("input", "down1")}
    assert frozen
    assert any("running_mean" in name for name in frozen)
    assert frozen <= equal
    learned = {name for name in base if name.endswith("weight") and name not in frozen}
    assert not learned & equal


def test_each_column_is_what_measuring_again_gives(finished):
    document = finished.said.json
    test = list(find_dataset(TARGET).split("test"))
    radius_um = document["base"]["test"]["radius_um"]
    base = Detector.load(BASE)
    tuned = Detector.load(finished.run / "detector.safetensors")
    labelled = [*find_dataset(TARGET).split("train"), *find_dataset(TARGET).split("validation")]
    recalibrated = best_threshold(examine(base, labelled), radius_um=radius_um).value
    for name, detector, threshold in (
        ("base", base, base.card.threshold),
        ("base_recalibrated", base, recalibrated),
        ("finetuned", tuned, tuned.card.threshold),
    ):
        scores = evaluate(examine(detector, test), radius_um=radius_um, threshold=threshold)
        assert document[name]["test"] == json.loads(json.dumps(scores.as_dict())), name


def test_the_everyday_threshold_comes_from_all_labelled_images_and_none_of_the_test(finished):
    detector = Detector.load(finished.run / "detector.safetensors")
    card = detector.card
    assert card.threshold_chosen_on == f"12 labelled (training and validation) images of {TARGET}"
    dataset = find_dataset(TARGET)
    labelled = [*dataset.split("train"), *dataset.split("validation")]
    chosen = best_threshold(examine(detector, labelled), radius_um=card.radius_um)
    assert card.threshold == pytest.approx(chosen.value, rel=1e-4)


def test_the_curves_have_a_row_a_validation_of_both_trainings(finished):
    curves = pd.read_csv(finished.run / "curves.csv")
    # The base itself is judged at step 0.
    for name, steps in (("fine-tuned", [0, 4, 8, 12, 16]), ("from scratch", [4, 8, 12, 16])):
        rows = curves[curves.training == name]
        assert list(rows.step) == steps
        assert rows["val/f1"].between(0, 1).all()


def test_the_card_says_where_the_detector_comes_from(finished):
    card = Detector.load(finished.run / "detector.safetensors").card
    document = finished.said.json
    assert card.name == finished.run.name
    assert card.base == "tiny-breast"
    assert card.organ == "eye"
    assert card.mpp == 0.5
    assert {(part.dataset, part.split) for part in card.data} == {
        (OWN, "train"),
        (TARGET, "train"),
        (TARGET, "validation"),
    }
    cases = {split: set(find_dataset(TARGET).split(split).cases) for split in ("train", "test")}
    learned = next(p for p in card.data if (p.dataset, p.split) == (TARGET, "train"))
    assert set(learned.cases) == cases["train"]
    assert {case for part in card.held_out for case in part.cases} == cases["test"]
    assert card.measured[0].scores == document["finetuned"]["test"]
    assert card.recipe["freeze"] == 2


def test_mlflow_holds_the_recipe_as_parameters_and_its_tags(finished):
    _, run = mlflow_run(finished)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == finished.run.name
    recipe = yaml.safe_load((finished.run / "recipe.yaml").read_text())
    assert run.data.params["train.steps"] == str(recipe["train"]["steps"])
    assert run.data.params["network.options.width"] == "4"
    assert run.data.params["base"] == BASE
    tags = {name: run.data.tags[name] for name in ("base", "target", "model", "codec", "freeze")}
    assert tags == {
        "base": BASE,
        "target": TARGET,
        "model": "micronet",
        "codec": "proximity",
        "freeze": "2",
    }


def test_mlflow_holds_the_figures_of_the_folder(finished):
    client, run = mlflow_run(finished)
    document = finished.said.json
    assert client.get_experiment(run.info.experiment_id).name == TARGET
    for figure in ("f1", "precision", "recall", "threshold"):
        logged = run.data.metrics[f"test/{figure}"]
        assert logged == pytest.approx(document["finetuned"]["test"][figure])
    for column in ("base", "base_recalibrated", "scratch"):
        logged = run.data.metrics[f"test/f1_{column}"]
        assert logged == pytest.approx(document[column]["test"]["f1"])
    (kept,) = document["forgetting"]
    assert run.data.metrics[f"held_out/{OWN}/f1_before"] == kept["before"]["f1"]
    assert run.data.metrics[f"held_out/{OWN}/f1_after"] == kept["after"]["f1"]


def test_mlflow_holds_the_curve_by_step(finished):
    client, run = mlflow_run(finished)
    curves = pd.read_csv(finished.run / "curves.csv")
    rows = curves[curves.training == "fine-tuned"]
    for name in ("train/loss", "val/f1", "val/threshold"):
        history = client.get_metric_history(run.info.run_id, name)
        points = {point.step: point.value for point in history}
        known = rows[rows[name].notna()]
        assert points == pytest.approx(dict(zip(known.step, known[name], strict=True)))


def test_mlflow_holds_the_data_as_inputs(finished):
    _, run = mlflow_run(finished)
    inputs = {
        each.tags[0].value: json.loads(each.dataset.profile) for each in run.inputs.dataset_inputs
    }
    assert {each.dataset.name for each in run.inputs.dataset_inputs} == {TARGET}
    assert inputs["training"]["num_images"] == 8
    assert inputs["training"]["num_nuclei"] == finished.said.json["n_train_nuclei"]
    assert inputs["validation"]["num_images"] == 4
    assert inputs["testing"]["num_images"] == 4


def test_the_same_data_have_the_same_hash_and_one_label_more_has_another(finished):
    _, run = mlflow_run(finished)
    kept = {part["context"]: part for part in json.loads((finished.run / "data.json").read_text())}
    digest = find_dataset(TARGET).split("test").content_hash()
    assert kept["testing"]["digest"] == digest
    assert kept["testing"]["n_images"] == 4
    assert run.data.tags["data.testing"] == hashlib.sha256(digest.encode()).hexdigest()[:16]
    tags = {name: run.data.tags[f"data.{name}"] for name in ("training", "validation", "testing")}
    assert len(set(tags.values())) == 3
    same = Recipe.read(finished.run / "recipe.yaml")
    assert digests_by_context(data_of(make_plan(same))) == tags
    fewer = digests_by_context(data_of(make_plan(same.replaced(labels="5"))))
    assert fewer["testing"] == tags["testing"]
    assert fewer["training"] != tags["training"]


def test_mlflow_and_the_folder_hold_the_environment_and_system_metrics(finished):
    client, run = mlflow_run(finished)
    environment = json.loads((finished.run / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["threads"] == torch.get_num_threads()
    assert run.data.tags["device"] == environment["device"] == environment["cpu"]
    assert run.data.metrics["system/cpu_utilization_percentage"] >= 0
    listed = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"environment.json", "data.json", "test_images.csv"} <= listed


def test_each_test_image_s_counts_add_up_to_the_figures(finished):
    table = pd.read_csv(finished.run / "test_images.csv")
    for name in ("base", "base_recalibrated", "finetuned", "scratch"):
        rows = table[table["column"] == name]
        figures = finished.said.json[name]["test"]
        for count in ("n_true", "n_false", "n_missed"):
            assert rows[count].sum() == figures[count]
        assert len(rows) == figures["n_images"] == 4


def test_a_run_that_another_process_is_at_is_not_gone_on_with(lab):
    plan = make_plan(Recipe(base=BASE, target=TARGET, train=QUICK["train"]))
    lock = ProcessLock(lab / "runs" / "one" / LOCK)
    assert lock.acquire()
    with pytest.raises(UserError, match="is going on in another process; wait until that has end"):
        run_recipe(plan, lab / "runs" / "one", device="cpu")
    lock.release()


def test_mlflow_holds_the_files_and_the_detector(finished, tmp_path):
    client, run = mlflow_run(finished)
    top = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"recipe.yaml", "metrics.json", "curves.csv", "figures", "overlays"} <= top
    copy = client.download_artifacts(run.info.run_id, "metrics.json", str(tmp_path))
    assert json.loads(Path(copy).read_text()) == finished.said.json
    for folder in ("figures", "overlays"):
        logged = {file.path for file in client.list_artifacts(run.info.run_id, folder)}
        assert logged == {f"{folder}/{path.name}" for path in (finished.run / folder).iterdir()}
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert model.status == "READY"


def test_from_scratch_has_the_base_s_network_scale_and_steps(finished):
    curves = pd.read_csv(finished.run / "curves.csv")
    steps = curves.groupby("training").step.max()
    assert steps["fine-tuned"] == steps["from scratch"] == 16
    scratch = torch.load(finished.run / "scratch/checkpoints/last.ckpt", weights_only=True)
    base = tensors(finished.folder / BASE)
    assert {n: v.shape for n, v in scratch["network"].items()} == {
        n: v.shape for n, v in base.items()
    }


def test_the_same_recipe_and_seed_give_the_same_detector(lab):
    one, two = run_of(lab / "one"), run_of(lab / "two")
    other = run_of(lab / "three", seed=1)
    first, second, third = (
        tensors(run.folder / "detector.safetensors") for run in (one, two, other)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert one.as_dict()["finetuned"] == two.as_dict()["finetuned"]
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_another_codec_is_trained_on_the_base_s_network_and_saved(lab):
    run = run_of(lab / "run", codec={"options": {"radius_um": 5.0}})
    saved = Detector.load(run.folder / "detector.safetensors")
    assert saved.codec.radius_um == 5.0
    assert run.columns["base"].scores.threshold == run.plan.base.card.threshold


def test_a_target_of_another_scale_is_resampled_to_the_base_s(lab):
    """Points come back in the target's pixels, though the base sees half of them."""
    run = run_of(lab / "run", train={**QUICK["train"], "steps": 24, "validate_every": 12})
    assert run.plan.start.card.mpp == 0.5
    assert {sample.mpp for sample in run.plan.test} == {0.25}
    scores = run.columns["finetuned"].scores
    assert scores.f1 > 0.7
    assert scores.distance_median < 1.0
    assert scores.distance_median == pytest.approx(scores.distance_median_px * 0.25)


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(lab):
    plan = make_plan(Recipe(base=BASE, target=TARGET))
    before = listing(lab)
    with pytest.raises(UserError, match=r"The device 'warp' cannot be used .* try --device auto"):
        run_recipe(plan, lab / "runs" / "one", device="warp")
    assert listing(lab) == before


def test_runs_of_one_second_get_folders_of_their_own(lab, monkeypatch):
    plan = make_plan(Recipe(base=BASE, target=TARGET, freeze=1))
    monkeypatch.setattr("time.strftime", lambda form: "20260101-120000")
    names = []
    for _ in range(3):
        folder = new_folder(lab / "my_runs", plan)
        folder.mkdir(parents=True)
        names.append(folder.name)
    stem = "base-to-eye-lab-freeze1-seed0-20260101-120000"
    assert names == [stem, f"{stem}_2", f"{stem}_3"]


def test_a_run_after_a_base_s_run_folder_is_named_after_that_run(lab):
    (lab / "my run").mkdir()
    (lab / BASE).rename(lab / "my run" / "detector.safetensors")
    plan = make_plan(Recipe(base="my run/detector.safetensors", target=f"./{TARGET}"))
    assert new_folder(lab, plan).name.startswith("my-run-to-eye-lab-freeze0-seed0-")
