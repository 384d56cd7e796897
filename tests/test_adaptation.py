"""What an adaptation without labels learns from, and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_folders import write_folder
from laboratory import BASE, OWN, TARGET, part_of, tiny_base
from stained_images import stained_image

from transfer_kit.adaptation import plan_adaptation
from transfer_kit.adaptation_run import UNLABELLED, adapt_recipe
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.stain import StainReference
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import evaluate, examine, paired_difference
from transfer_kit.plan import cases_learned, make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.transfer.batchnorm import recalibrate

pytest_plugins = ["lab_fixtures"]


def recipe_of(name="batch_norm", **fields):
    recipe = Recipe(
        base=BASE,
        target=TARGET,
        patches={"size_px": 48},
        evaluation={"figures": False},
        adaptation={"name": name},
    )
    return recipe.replaced(**fields)


def images_alone(lab, name="new"):
    """A folder of the training images of the target, without anything else."""
    folder = lab / name
    folder.mkdir()
    for sample in find_dataset(TARGET).split("train"):
        shutil.copy(sample.image_path, folder)
    return folder


def reference():
    return StainReference.of_images([stained_image()], "ours")


def test_the_training_images_are_learned_from_and_no_annotation_of_them_is_read(lab):
    cases = find_dataset(TARGET).split("train").cases
    for path in (lab / TARGET / "annotations").iterdir():
        if path.stem.split("_")[0] in cases:
            path.write_text("x,y\nthis,is\nno,annotation\n")
    plan = plan_adaptation(recipe_of())
    assert {sample.case for sample in plan.images} == set(cases)
    assert plan.train == plan.validation == ()
    assert {sample.case for sample in plan.test} == set(find_dataset(TARGET).split("test").cases)
    result = adapt_recipe(plan, lab / "run", device="cpu")
    (learned,) = [part for part in result.trained.detector.card.data if part.dataset == TARGET]
    assert (learned.split, learned.n_nuclei) == (UNLABELLED, 0)
    assert learned.cases == sorted(cases)
    assert learned.digest == plan.unlabelled[0].content_hash()


def test_batch_norm_is_the_base_with_statistics_of_the_images_at_the_base_s_threshold(lab):
    plan = plan_adaptation(recipe_of())
    result = adapt_recipe(plan, lab / "run", device="cpu")
    expected = Detector.load(BASE)
    recalibrate(expected, plan.images, crop_px=48, seed=0)
    saved = Detector.load(lab / "run" / "detector.safetensors")
    assert all(
        torch.equal(value, saved.network.state_dict()[name])
        for name, value in expected.network.state_dict().items()
    )
    assert saved.card.threshold == Detector.load(BASE).card.threshold
    for name, detector in (("base", Detector.load(BASE)), ("adapted", expected)):
        found = examine(detector, plan.test)
        scores = evaluate(found, radius_um=2.0, threshold=saved.card.threshold)
        assert result.columns[name].scores == scores
    columns = result.columns
    assert result.gain == paired_difference(columns["adapted"].scores, columns["base"].scores)
    (kept,) = result.forgetting
    assert kept.dataset == OWN


def test_frozen_blocks_keep_the_base_s_statistics(lab):
    adapt_recipe(plan_adaptation(recipe_of(freeze=2)), lab / "run", device="cpu")
    base, saved = (
        Detector.load(path).network.state_dict()
        for path in (BASE, lab / "run" / "detector.safetensors")
    )
    moved = {name.split(".")[0] for name in base if not torch.equal(base[name], saved[name])}
    assert moved
    assert not moved & {"input", "down1"}


def test_stain_brings_images_to_the_base_s_own_reference(lab):
    tiny_base(lab / BASE, stain_reference=reference())
    recipe = recipe_of("stain", **{"stain.normalise": "macenko"})
    result = adapt_recipe(plan_adaptation(recipe), lab / "run", device="cpu")
    saved = Detector.load(lab / "run" / "detector.safetensors")
    assert saved.card.normalise == "macenko"
    assert saved.card.stain_reference == reference()
    base = Detector.load(BASE)
    image, mpp = result.plan.test[0].image(), result.plan.test[0].mpp
    by_hand = base.candidates(saved.card.normaliser(image), mpp)
    np.testing.assert_array_equal(saved.candidates(image, mpp).points, by_hand.points)


def test_a_folder_of_images_serves_without_a_target_and_then_nothing_is_measured(lab):
    folder = images_alone(lab)
    recipe = recipe_of(
        target=str(folder), **{"adaptation.images": "new", "adaptation.images_mpp": 0.25}
    )
    plan = plan_adaptation(recipe)
    assert plan.test == ()
    assert plan.recipe.adaptation.images == str(folder)
    assert plan.target_name == "new"
    assert any("nothing can be measured" in note for note in plan.notes)
    result = adapt_recipe(plan, lab / "run", device="cpu")
    assert result.columns == {}
    assert result.as_dict()["base"] is result.as_dict()["gain_over_base"] is None
    card = Detector.load(lab / "run" / "detector.safetensors").card
    assert card.measured == []
    assert [part.dataset for part in card.data] == [OWN, "new"]


def test_a_folder_of_images_and_a_target_to_measure_on_go_together(lab):
    images_alone(lab)
    recipe = recipe_of(**{"adaptation.images": "new", "adaptation.images_mpp": 0.25})
    plan = plan_adaptation(recipe)
    assert [dataset.name for dataset in plan.unlabelled] == ["new"]
    assert len(plan.test) == 4


def test_images_that_test_the_result_are_refused(lab):
    folder = images_alone(lab)
    tested = find_dataset(TARGET).split("test")[0]
    shutil.copy(tested.image_path, folder / "renamed.png")
    recipe = recipe_of(**{"adaptation.images": "new", "adaptation.images_mpp": 0.25})
    with pytest.raises(UserError) as told:
        plan_adaptation(recipe)
    assert str(told.value) == (
        f"1 image to adapt to, first {folder / 'renamed.png'}, would test the result, too "
        f"({tested.id}), which flatters; take them out of the folder."
    )


def test_cases_that_were_adapted_to_count_as_learned_from(lab):
    adapt_recipe(plan_adaptation(recipe_of()), lab / "run", device="cpu")
    card = Detector.load(lab / "run" / "detector.safetensors").card
    train = find_dataset(TARGET).split("train")
    assert cases_learned(card, train) == list(train.cases)
    dataset = Dataset.open(lab / TARGET)
    swapped = {"train": "test", "test": "train"}
    assignment = {case: swapped.get(part, part) for case, part in dataset.assignment.items()}
    assert cases_learned(card, replace(dataset, assignment=assignment).split("test"))


def test_the_target_s_test_cases_may_not_be_the_base_s(lab):
    tested = find_dataset(TARGET).split("test").cases[0]
    tiny_base(lab / BASE, data=[part_of(TARGET, "train", tested)])
    with pytest.raises(UserError, match=rf"learned from cases that test {TARGET} \({tested}\)"):
        plan_adaptation(recipe_of())


def test_a_plan_read_back_from_its_recipe_is_the_same(lab):
    images_alone(lab)
    for fields in ({}, {"adaptation.images": "new", "adaptation.images_mpp": 0.25}):
        plan = plan_adaptation(recipe_of(**fields))
        plan.recipe.write(lab / "recipe.yaml")
        again = plan_adaptation(Recipe.read(lab / "recipe.yaml"))
        assert again.recipe == plan.recipe
        assert again.images == plan.images


def unreadable(lab):
    (images_alone(lab) / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")


def without_images(lab):
    (lab / "new").mkdir()


def without_scale(lab):
    images_alone(lab)


NEW = {"adaptation.images": "new", "adaptation.images_mpp": 0.25}


@pytest.mark.parametrize(
    ("prepare", "name", "fields", "said"),
    [
        (None, "none", {}, r"says no adaptation\.name, so it learns from labels; choose"),
        (None, "batch_norm", {"base": "none"}, r"needs a base, .* name one with --base"),
        (
            None,
            "self_training",
            {"train.cache_features": True},
            r"changes the colours of its crops, .* set train\.cache_features to false",
        ),
        (None, "batch_norm", {"base": "auto"}, r"--base auto chooses by labels"),
        (None, "batch_norm", NEW, r"new is no folder of images; check the path\."),
        (without_images, "batch_norm", NEW, r"new holds no image \(\.bmp"),
        (unreadable, "batch_norm", NEW, r"broken\.png is damaged or cut short"),
        (
            without_scale,
            "batch_norm",
            {"adaptation.images": "new"},
            r"c00_0\.png does not say its scale; add --mpp",
        ),
        (
            without_scale,
            "batch_norm",
            {"target": "new"},
            r"new has no dataset\.yaml; name it with --images to adapt to its images alone",
        ),
        (None, "stain", {}, r"stain\.normalise is none; set it to macenko, vahadane or reinhard"),
        (
            None,
            "stain",
            {"stain.normalise": "macenko"},
            r"The card of tiny-breast holds no stain reference; set stain\.reference to ",
        ),
        (
            None,
            "self_training",
            {"codec": {"name": "voting"}},
            r"codec: the recipe asks for voting other than the base's, which only labels could",
        ),
        (
            None,
            "self_training",
            {"auxiliary.sources": ["eye"]},
            r"names a pair or auxiliary data, .* leave pair and auxiliary out",
        ),
        (None, "batch_norm", {"freeze": 12}, r"freeze: 12 is not possible"),
    ],
)
def test_what_cannot_be_adapted_is_told_in_one_sentence(lab, prepare, name, fields, said):
    if prepare is not None:
        prepare(lab)
    with pytest.raises(UserError, match=said) as told:
        plan_adaptation(recipe_of(name, **fields))
    assert "\n" not in str(told.value)


def test_a_base_without_batch_norm_has_no_statistics_to_recompute(lab):
    network = {"name": "fcn8s", "options": {"width": 2, "hidden": 4}}
    tiny_base(lab / BASE, network=network, codec={"name": "semantic", "options": {}})
    with pytest.raises(UserError, match=r"has no batch norm \(fcn8s\), so there are no statistics"):
        plan_adaptation(recipe_of())
    recipe = recipe_of("self_training", **{"train.batch_norm": "recalibrate"})
    notes = plan_adaptation(recipe).notes
    assert any("has no batch norm that could be recalibrated" in note for note in notes)


def test_a_base_that_normalises_already_has_nothing_to_gain_from_stain(lab):
    tiny_base(lab / BASE, stain_reference=reference(), normalise="macenko")
    with pytest.raises(UserError, match=r"brings all images to its stain by macenko already"):
        plan_adaptation(recipe_of("stain", **{"stain.normalise": "macenko"}))


def test_scores_relative_to_the_image_s_best_cannot_teach_crops(lab):
    codec = {"name": "proximity", "options": {"relative_to": "maximum"}}
    tiny_base(lab / BASE, codec=codec)
    with pytest.raises(UserError, match=r"scores nuclei by the best one of the image"):
        plan_adaptation(recipe_of("self_training"))
    assert plan_adaptation(recipe_of()).images


def test_finetune_refuses_a_recipe_that_adapts_without_labels(lab):
    with pytest.raises(UserError, match=r"\(adaptation\.name: stain\); run it with 'transfer-kit"):
        make_plan(recipe_of("stain"))


def test_a_target_without_labelled_test_cases_is_adapted_to_but_not_measured(lab):
    splits = {"train": ["c00", "c01"], "validation": [], "test": []}
    write_folder(lab / "bare", cases=2, side=60, name="bare", organ="eye", splits=splits)
    shutil.rmtree(Path("bare") / "annotations")
    plan = plan_adaptation(recipe_of(target="./bare"))
    assert (len(plan.images), plan.test, plan.targets) == (4, (), ())
    assert any("bare has no labelled test case" in note for note in plan.notes)
