from __future__ import annotations

import pytest
import torch
from laboratory import BASE, SHORT, TARGET, part_of, tiny_base, transfer_kit
from toy import toy_detector

from transfer_kit.base_choice import choose_base
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.labels import labelled_samples
from transfer_kit.plan import make_plan
from transfer_kit.ranking import rank_bases
from transfer_kit.recipe import Recipe
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import add_model, find_weights

pytest_plugins = ["lab_fixtures"]


@pytest.fixture
def store(lab, monkeypatch):
    """A store of two detectors of the user's own, one of which finds nothing."""
    monkeypatch.setattr("transfer_kit.stores.models.shipped", lambda kind: lab / "nothing" / kind)
    add_model(Detector.load(tiny_base(lab / "base.safetensors", name="mine")), "mine")
    silent = Detector.load(lab / "base.safetensors")
    for parameters in silent.network.parameters():
        torch.nn.init.zeros_(parameters)
    add_model(silent, "a-silent-one")
    return lab


def recipe(**fields):
    return Recipe(target=TARGET, base="auto", labels="6", description="Of the lab.", **fields)


def test_the_base_is_the_one_that_rank_puts_first_and_the_reason_is_kept(store):
    told = []
    choice = choose_base(recipe(seed=3), device="cpu", progress=lambda *each: told.append(each))
    target = find_dataset(TARGET)
    train, validation = labelled_samples([target], "6", seed=3)
    ranking = rank_bases([target], [*train, *validation], seed=3, device="cpu")
    assert choice.recipe.base == ranking.best.name == "mine"
    assert choice.ranking == ranking
    assert told == [("a-silent-one", 0, 2), ("mine", 1, 2)]
    f1 = ranking.best.recalibrated
    assert choice.why == (
        f"base mine was chosen by rank among 2 detectors: recalibrated F1 {f1.f1:.3f} (95 % "
        f"interval {f1.low:.3f} to {f1.high:.3f}) on 6 labelled images; next a-silent-one, 0.000"
    )
    assert choice.recipe.description == f"Of the lab. B{choice.why[1:]}."
    assert choice.recipe == recipe(seed=3).replaced(
        base="mine", description=choice.recipe.description
    )


def test_a_recipe_that_names_its_base_is_left_as_it_is(store):
    named = Recipe(target="no such target", base="mine")
    choice = choose_base(named)
    assert (choice.recipe, choice.why, choice.ranking) == (named, "", None)


def test_the_test_images_are_not_looked_at(store):
    for sample in find_dataset(TARGET).split("test"):
        sample.image_path.write_bytes(b"")
        (path,) = sample.source.paths
        path.write_text("x,y\n3,torn\n")
    assert choose_base(recipe(), device="cpu").recipe.base == "mine"


def test_cases_that_the_recipe_holds_out_are_not_looked_at(store):
    case = find_dataset(TARGET).split("train").cases[0]
    for sample in find_dataset(TARGET):
        if sample.case == case:
            sample.image_path.write_bytes(b"")
    choice = choose_base(
        recipe(auxiliary={"held_out": {TARGET: [case]}}).replaced(labels="100%"), device="cpu"
    )
    assert choice.recipe.base == "mine"
    assert choice.ranking.n_cases == len(labelled_cases()) - 1


def labelled_cases():
    target = find_dataset(TARGET)
    return {sample.case for part in ("train", "validation") for sample in target.split(part)}


def test_a_pair_s_target_is_ranked_on_where_the_recipe_says_auto(store):
    (store / "pair.yaml").write_text(f"base: {BASE}\ntarget: {TARGET}\n")
    choice = choose_base(Recipe(base="auto", pair="pair.yaml", labels="6"), device="cpu")
    assert choice.recipe.base == "mine"
    assert make_plan(choice.recipe).target_name == TARGET
    named = Recipe(pair="pair.yaml", labels="6")
    assert choose_base(named).recipe == named


def test_a_base_that_contradicts_the_recipe_is_passed_over(store):
    """The recipe asks for a network that only the worse base is."""
    other = toy_detector(network={"name": "unet", "options": {"n_feat": 4}})
    for parameters in other.network.parameters():
        torch.nn.init.zeros_(parameters)
    add_model(other, "another")
    choice = choose_base(recipe(network={"name": "unet"}), device="cpu")
    assert choice.recipe.base == "another"
    assert "mine" in choice.why.split("; ")[-1]
    assert choice.why.endswith("; mine, a-silent-one would not fit the recipe")


def test_the_chosen_base_and_the_reason_are_recorded_with_the_run(store):
    words = ("--base", "auto", "--target", TARGET, "--labels", 6, *SHORT)
    said = transfer_kit("finetune", *words, "--json")
    document = said.json
    (note,) = (note for note in document["notes"] if "chosen by rank" in note)
    assert note.startswith("base mine was chosen by rank among 2 detectors")
    written = Recipe.read(store / document["run"] / "recipe.yaml")
    assert written.base == "mine"
    assert note[1:] in written.description
    assert "Note: base mine was chosen by rank" in said.err
    assert document["run"].startswith("runs/mine-to-")


def test_a_dry_run_says_which_base_it_would_be(store):
    words = ("--base", "auto", "--target", TARGET, "--labels", 6, "--dry-run", "--json")
    said = transfer_kit("finetune", *words).json
    assert said["base"] == "mine"
    assert "chosen by rank" in said["notes"][0]


def refused(**fields):
    with pytest.raises(UserError) as told:
        choose_base(recipe(**fields) if fields else recipe(), device="cpu")
    return str(told.value)


def test_empty_splits_and_damaged_images_are_told_before_anything_is_ranked(store, monkeypatch):
    def rank(*words, **options):
        raise AssertionError("nothing is to be ranked")

    monkeypatch.setattr("transfer_kit.base_choice.rank_bases", rank)
    target = find_dataset(TARGET)
    train, _ = labelled_samples([target], "6", seed=0)
    train[0].image_path.write_bytes(b"")
    assert f"{train[0].image_path} is empty" in refused()
    card = store / TARGET / "dataset.yaml"
    card.write_text(card.read_text().replace("test: 0.25", "test: 0"))
    assert f"{TARGET} has no test case" in refused()


def test_where_no_base_is_left_the_reasons_are_told(store):
    learned = [part_of(TARGET, "test", *find_dataset(TARGET).split("test").cases)]
    for name in ("mine", "a-silent-one"):
        detector = Detector.load(find_weights(name))
        detector.card.data = learned
        add_model(detector, name, replace=True)
    assert "mine: it learned from cases that test" in refused()
    assert "--base none" in refused()


def test_where_no_base_fits_the_recipe_the_first_contradiction_is_told(store):
    said = refused(classes=["tumour", "other"])
    assert said.startswith("No base that can be compared on this target fits the recipe: classes:")


def test_one_labelled_image_is_too_few_to_choose_by(store):
    words = ("finetune", "--base", "auto", "--target", TARGET, "--labels", 1, "--dry-run")
    assert "ask for more labels" in transfer_kit(*words, code=2).error


def test_a_plan_is_of_the_settled_recipe(store):
    choice = choose_base(recipe(), device="cpu")
    plan = choice.told_in(make_plan(choice.recipe))
    assert plan.notes[0] == choice.why
    assert plan.base.card.name == "mine"
    named = choose_base(Recipe(target=TARGET, base=BASE, labels="6"))
    assert named.told_in(plan) is plan
