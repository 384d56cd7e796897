"""`--auxiliary`, `--gamma`, `--replay` and `--pair`, and what a run keeps of them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from dataset_folders import write_folder
from laboratory import BASE, OWN, SHORT, TARGET, furnished, transfer_kit, working_in
from mlflow import MlflowClient

from transfer_kit.detector import Detector
from transfer_kit.pair import Pair
from transfer_kit.recipe import Recipe
from transfer_kit.tracking import store_uri

pytest_plugins = ["lab_fixtures"]

EAR = "ear-lab"
ENDS = ("--base", BASE, "--target", TARGET)
TRAINING = (*SHORT, "--set", "train.steps=4", "--set", "evaluation.figures=false")


def with_ear(folder):
    write_folder(folder / EAR, cases=3, per_case=2, side=64, seed=5, name=EAR, organ="ear")
    Pair(name="mine", base=BASE, target=TARGET, auxiliary=(EAR,)).write(folder / "mine.yaml")


@pytest.fixture
def lab(lab):
    with_ear(lab)
    return lab


@cache
def mixed_run():
    """A fine-tuning from a pair with γ and replay, beside one from scratch; only to be read."""
    folder = Path(tempfile.mkdtemp(prefix="transfer-kit-mixed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(furnished(), folder, dirs_exist_ok=True)
    with_ear(folder)
    with working_in(folder):
        mixture = ("--gamma", "0:5,2:3", "--replay", "100%", "--set", "auxiliary.sampling=even")
        words = ("finetune", "--pair", "mine.yaml", "--labels", 4, *mixture, *TRAINING)
        return folder, transfer_kit(*words, "--compare-scratch", "--json")


@pytest.fixture
def run():
    folder, said = mixed_run()
    with working_in(folder):
        yield folder / said.json["run"]


def planned(*words, code=0):
    return transfer_kit("finetune", *words, "--labels", 4, "--dry-run", "--json", code=code)


# the options


def test_the_options_are_fields_of_the_recipe(lab):
    words = (*ENDS, "--auxiliary", f"{EAR} + {OWN}", "--gamma", 5, "--replay", "50%")
    document = planned(*words).json
    assert [(each["name"], each["n_images"]) for each in document["auxiliary"]] == [
        (EAR, 2),
        (OWN, 1),
        ("replay of tiny-breast", 1),
    ]


def test_the_plan_says_the_share_of_each_in_the_crops(lab):
    said = planned(*ENDS, "--auxiliary", f"{EAR} + {OWN}", "--gamma", "0:20,9:5").err
    # 4 images of the target, 2 and 1 of others.
    assert (
        "ear-lab 2 images (29% of the crops), breast-lab 1 image (14% of the crops); "
        "target 57% of the crops, γ 0:20,9:5"
    ) in said


def test_a_pair_stands_for_base_target_and_sources(lab):
    document = planned("--pair", "mine.yaml").json
    assert (document["pair"], document["target"]) == ("mine", TARGET)
    assert [each["name"] for each in document["auxiliary"]] == [EAR]


def test_a_pair_goes_before_the_recipe_s_file(lab):
    (lab / "recipe.yaml").write_text(f"target: {OWN}\nbase: none\nseed: 3\n")
    document = planned("--recipe", "recipe.yaml", "--pair", "mine.yaml").json
    assert (document["base"], document["target"]) == (BASE, TARGET)


def test_a_recipe_file_may_name_the_pair(lab):
    (lab / "recipe.yaml").write_text("pair: mine.yaml\n")
    assert planned("--recipe", "recipe.yaml").json["pair"] == "mine"


@pytest.mark.parametrize("option", ["base", "target", "auxiliary"])
def test_a_pair_takes_no_other_ends(lab, option):
    error = planned("--pair", "mine.yaml", f"--{option}", EAR, code=2).error
    assert error == (
        f"--pair mine.yaml says base, target and auxiliary sources; leave --{option} out."
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gamma", "0"], "the target's loss needs a finite weight above 0"),
        (["--gamma", "inf"], "the target's loss needs a finite weight above 0"),
        (["--auxiliary", TARGET], "should not name the target eye-lab itself, whose test cases"),
        (["--auxiliary", "eer-lab"], "There is no organ, dataset or folder 'eer-lab'"),
        (["--auxiliary", EAR, "--set", "auxiliary.share=10"], "should be a percentage"),
        (["--replay", "0%"], "should be a percentage of the images above 0%"),
    ],
)
def test_bad_input_is_one_sentence(lab, words, said):
    assert said in planned(*ENDS, *words, code=2).error


def test_an_unknown_pair_names_the_nearest(lab):
    assert "Did you mean 'breast-eye'?" in planned("--pair", "brest-eye", code=2).error


def test_resuming_takes_no_other_mixture(lab):
    (lab / "run").mkdir()
    (lab / "run" / "options.json").write_text('{"compare_scratch": false}')
    Recipe(base=BASE, target=TARGET).write(lab / "run" / "recipe.yaml")
    words = ("finetune", "--resume", "run", "--gamma", 5)
    assert "leave out auxiliary.gamma, or start" in transfer_kit(*words, code=2).error


# what is kept


def test_the_run_remembers_its_pair(run):
    pair = Pair.read(run / "pair.yaml")
    assert (pair.name, pair.target, pair.auxiliary) == ("mine", TARGET, (EAR,))
    scratch = Pair.read(run / "scratch" / "pair.yaml")
    assert (scratch.name, scratch.base, scratch.auxiliary) == ("", "none", (EAR,))


def test_the_curves_have_both_losses_apart(run):
    curves = pd.read_csv(run / "curves.csv").dropna(subset="train/loss")
    assert set(curves.training) == {"fine-tuned", "from scratch"}
    # γ is 5 for two steps of four and 3 for the others, of one crop of the target each.
    for row in curves.itertuples(index=False):
        told = dict(zip(curves.columns, row, strict=True))
        target, others = told["train/loss_target"], told["train/loss_auxiliary"]
        assert (3 * target + others) / 2 < told["train/loss"] < (5 * target + others) / 2


def test_mlflow_finds_the_run_by_its_mixture(run):
    client = MlflowClient(tracking_uri=store_uri())
    experiment = client.get_experiment_by_name(TARGET)
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    tuned, scratch = runs[run.name], runs[f"scratch-{run.name}"]
    assert tuned.data.tags["pair"] == "mine"
    assert tuned.data.tags["gamma"] == tuned.data.params["auxiliary.gamma"] == "0:5,2:3"
    assert tuned.data.tags["auxiliary"] == f"{EAR} + replay of tiny-breast"
    assert scratch.data.tags["pair"] == f"none → {TARGET}"
    assert scratch.data.tags["auxiliary"] == EAR
    used = {(d.dataset.name, d.tags[0].value) for d in tuned.inputs.dataset_inputs}
    assert used == {
        (TARGET, "training"),
        (TARGET, "testing"),
        (EAR, "auxiliary"),
        (OWN, "replay"),
    }
    for name in ("train/loss_target", "train/loss_auxiliary"):
        assert client.get_metric_history(tuned.info.run_id, name)
    assert "pair.yaml" in {file.path for file in client.list_artifacts(tuned.info.run_id)}


def test_the_card_lists_auxiliary_data_once_and_what_was_replayed_as_the_base_s(run):
    parts = Detector.load(run / "detector.safetensors").card.data
    assert [(part.dataset, part.split) for part in parts] == [
        (OWN, "train"),
        (TARGET, "train"),
        (EAR, "auxiliary"),
    ]
    assert parts[-1].n_images == 2


def test_from_scratch_has_the_same_auxiliary_data_without_replay(run):
    tuned, scratch = (Recipe.read(each / "recipe.yaml") for each in (run, run / "scratch"))
    assert tuned.auxiliary.replay == "100%"
    assert scratch.auxiliary == tuned.auxiliary.model_copy(update={"replay": None})
    parts = Detector.load(run / "scratch" / "detector.safetensors").card.data
    assert [(part.dataset, part.split) for part in parts] == [
        (TARGET, "train"),
        (EAR, "auxiliary"),
    ]


def test_the_result_counts_the_auxiliary_images(run):
    assert mixed_run()[1].json["n_auxiliary_images"] == 3
