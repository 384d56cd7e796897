from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest
import torch
from dataset_folders import write_card, write_folder
from laboratory import BASE, OWN, TARGET, listing, part_of, tiny_base

from transfer_kit import __version__
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe

pytest_plugins = ["lab_fixtures"]


def plan_of(**fields):
    return make_plan(Recipe(**{"base": BASE, "target": TARGET, **fields}))


def ids(samples):
    return {sample.id for sample in samples}


def test_a_plan_writes_nothing(lab):
    before = listing(lab)
    plan_of(freeze=2)
    assert listing(lab) == before


def test_the_splits_share_no_case_and_the_plan_counts_their_nuclei(lab):
    plan = plan_of()
    parts = [plan.train, plan.validation, plan.test]
    assert [len(part) for part in parts] == [8, 4, 4]
    cases = [{sample.case for sample in part} for part in parts]
    assert not cases[0] & cases[1]
    assert not cases[0] & cases[2]
    assert not cases[1] & cases[2]
    rows = [len((lab / TARGET / "annotations" / f"{s.id}.csv").read_text().split()) - 1
            for s in plan.train]  # fmt: skip
    assert plan.n_train_nuclei == sum(rows)


@pytest.mark.parametrize(
    ("labels", "n_train", "n_validation"),
    [
        (8, 5, 3),
        ("9", 6, 3),
        ("9 images", 6, 3),
        ("9images", 6, 3),
        ("12", 8, 4),
        ("100%", 8, 4),
        ("75 %", 6, 3),
        ("5 cases", 6, 4),
        ("75% cases", 6, 4),
    ],
)
def test_a_number_is_shared_by_training_and_validation_a_percentage_taken_of_each(
    lab, labels, n_train, n_validation
):
    plan = plan_of(labels=labels)
    assert (len(plan.train), len(plan.validation)) == (n_train, n_validation)
    assert len(plan.test) == 4


@pytest.mark.parametrize("labels", ["1", "2", "5", 7, "50%", "25 %", "3 cases", "50% cases"])
def test_fewer_than_eight_labelled_images_all_train(lab, labels):
    plan = plan_of(labels=labels)
    assert not plan.validation
    assert 1 <= len(plan.train) < 8
    assert not ids(plan.train) & ids(plan.test)


def test_all_labelled_images_train_where_validation_gets_no_share(lab):
    plan = plan_of(labels="100%", validation_share=0)
    assert (len(plan.train), len(plan.validation)) == (12, 0)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_the_share_of_validation_can_be_chosen(lab, share):
    plan = plan_of(labels="4", validation_share=share)
    assert len(plan.train) + len(plan.validation) == 4
    assert len(plan.validation) == {0.0: 0, 0.5: 2, 0.9: 3}[share]


@pytest.mark.parametrize("seed", [0, 1])
def test_fewer_labels_lie_inside_more_of_one_seed(lab, seed):
    plans = [plan_of(labels=str(n), seed=seed) for n in range(1, 13)]
    labelled = [ids(plan.train) | ids(plan.validation) for plan in plans]
    assert [len(images) for images in labelled] == list(range(1, 13))
    assert all(few < more for few, more in itertools.pairwise(labelled))
    most, all_ = plan_of(labels="75%", seed=seed), plan_of(labels="100%", seed=seed)
    assert ids(most.train) < ids(all_.train)
    assert ids(most.validation) < ids(all_.validation)


def test_another_seed_chooses_other_labels(lab):
    chosen = {frozenset(ids(plan_of(labels="4", seed=seed).train)) for seed in range(5)}
    assert len(chosen) > 1


def test_a_single_label_is_trained_on_and_the_plan_says_what_that_means(lab):
    plan = plan_of(labels="1")
    assert any("the threshold is chosen on the training images" in note for note in plan.notes)
    assert not plan_of(labels="8").notes


def test_more_labels_than_there_are_is_refused(lab):
    with pytest.raises(UserError, match=r"labels: '13' is more than eye-lab has \(8 for training"):
        plan_of(labels="13")
    with pytest.raises(UserError, match=r"labels: '9 cases' is more than .* \(4 for training, 2 "):
        plan_of(labels="9 cases")


@pytest.mark.parametrize("labels", ["0", "many", "0%", "120%", "2.5"])
def test_what_is_no_amount_is_refused(lab, labels):
    with pytest.raises(UserError, match="is not an amount of labels; write a percentage"):
        plan_of(labels=labels)


def test_the_first_blocks_are_frozen_and_the_rest_is_counted(lab):
    plan = plan_of(freeze=2)
    assert [block.name for block in plan.blocks if block.frozen] == ["input", "down1"]
    learning = sum(block.parameters for block in plan.blocks if not block.frozen)
    assert (
        plan.trainable
        == learning
        == plan_of().trainable - sum(block.parameters for block in plan.blocks[:2])
    )


def test_freezing_without_a_base_is_left_out_and_said(lab):
    plan = plan_of(base="none", freeze=2)
    assert not any(block.frozen for block in plan.blocks)
    assert plan.recipe.freeze == 0
    assert any("freeze: 2 is left out" in note for note in plan.notes)


def test_the_other_levers_are_left_out_without_a_base_and_said(lab):
    train = {"l2_sp": 0.01, "batch_norm": "recalibrate", "adapter": {"rank": 4}}
    plan = plan_of(base="none", freeze={0: 8, 50: ["input", "down1"]}, train=train)
    assert plan.recipe.freeze == 0
    settings = plan.recipe.train
    assert (settings.l2_sp, settings.batch_norm, settings.adapter.rank) == (0, "train", 0)
    for said in (
        "freeze: 0:8,50:input,down1 is left out",
        "train.l2_sp: 0.01 is left out, since without a base there is nothing to pull towards",
        "train.batch_norm: recalibrate is left out",
        "train.adapter is left out",
    ):
        assert any(note.startswith(said) for note in plan.notes), said
    assert plan.trainable == sum(block.parameters for block in plan.blocks)


def test_a_schedule_is_found_out_before_anything_is_trained(lab):
    plan = plan_of(freeze={0: 8, 100: 4}, train={"steps": 300})
    assert [block.frozen for block in plan.blocks] == [True] * 8 + [False] * 2
    assert plan.blocks[5].changes == ((100, False),)
    assert plan.trainable == sum(block.parameters for block in plan.blocks[4:])
    assert not any("schedule" in note for note in plan.notes)
    with pytest.raises(UserError, match=r"has no block 'dawn1' from step 9 on\. Did you mean 'do"):
        plan_of(freeze={0: 8, 9: "dawn1"})


def test_steps_of_a_schedule_that_are_never_reached_are_said(lab):
    plan = plan_of(freeze={0: 8, 100: 4, 300: 0}, train={"steps": 300})
    (note,) = (note for note in plan.notes if "schedule" in note)
    assert note == "freeze: the training ends at step 300, before step 300 of the schedule"


def test_pretrained_weights_can_be_frozen_without_a_base(lab):
    network = {"name": "micronet", "options": {"width": 4}, "pretrained": BASE}
    plan = plan_of(base="none", freeze=2, network=network)
    assert plan.recipe.freeze == 2
    assert plan.trainable < plan_of(base="none", network=network).trainable
    first, theirs = (d.network.state_dict() for d in (plan.start, Detector.load(BASE)))
    assert all(torch.equal(first[name], theirs[name]) for name in theirs if "input" in name)


def test_without_a_base_the_scale_and_colours_are_the_target_s(lab):
    plan = plan_of(base="none", network={"options": {"width": 4}})
    pixels = np.concatenate([s.image().reshape(-1, 3) for s in plan.train]) / 255
    assert plan.start.card.mpp == plan.recipe.mpp == 0.25
    assert np.allclose(plan.start.card.mean, pixels.mean(axis=0), atol=1e-6)
    assert np.allclose(plan.start.card.std, pixels.std(axis=0), atol=1e-6)
    assert plan.start.card.network.options["width"] == 4
    assert plan.held_out == ()


def test_the_plan_s_recipe_says_what_the_base_decides(lab):
    plan = plan_of(train={"steps": 7})
    assert plan.recipe.network == plan.base.card.network
    assert plan.recipe.codec == plan.base.card.codec
    assert plan.recipe.mpp == 0.5
    assert plan.recipe.train.steps == 7
    assert make_plan(plan.recipe).recipe == plan.recipe


def test_the_start_is_a_copy_of_the_base(lab):
    plan = plan_of()
    for name, value in plan.base.network.state_dict().items():
        assert torch.equal(value, plan.start.network.state_dict()[name])
    next(plan.start.network.parameters()).data.zero_()
    assert next(plan.base.network.parameters()).any()


def test_another_network_than_the_base_s_is_refused(lab):
    with pytest.raises(
        UserError,
        match=r"network: the recipe asks for micronet \(width 8\), but the base tiny-breast is "
        r"micronet \(width 4, dropout 0\.1\); leave network out of the recipe",
    ):
        plan_of(network={"name": "micronet", "options": {"width": 8}})


@pytest.mark.parametrize("network", [{"name": "micronet"}, {"options": {"width": 4}}])
def test_the_network_of_the_base_may_be_named(lab, network):
    assert plan_of(network=network).recipe.network.options == {"width": 4, "dropout": 0.1}


def test_other_classes_than_the_base_s_are_refused(lab):
    with pytest.raises(UserError, match=r"asks for tumour, stroma, but .* all nuclei as one class"):
        plan_of(classes=("tumour", "stroma"))
    assert plan_of(classes=("",)).recipe.classes == ("",)


def test_classes_that_no_nucleus_has_are_refused(lab):
    with pytest.raises(UserError, match="but no nucleus of the 8 training images has a class"):
        plan_of(base="none", classes=("tumour", "stroma"))


def test_a_detector_from_scratch_tells_the_recipe_s_classes(lab):
    for path in (lab / TARGET / "annotations").glob("*.csv"):
        path.write_text("x,y,class\n5,6,tumour\n9,9,\n")
    start = plan_of(base="none", classes=("tumour", "stroma")).start
    assert start.card.classes == start.codec.classes == ("tumour", "stroma")
    assert start.codec.channels == 2


def test_another_scale_than_the_base_s_is_refused(lab):
    with pytest.raises(
        UserError, match=r"asks for 0\.25 µm per pixel, but the base tiny-breast works at 0\.5"
    ):
        plan_of(mpp=0.25)
    assert plan_of(mpp=0.502).recipe.mpp == 0.5


def test_a_codec_that_the_recipe_names_takes_the_place_of_the_base_s(lab):
    plan = plan_of(codec={"options": {"radius_um": 5.0}})
    assert plan.start.codec.radius_um == 5.0
    assert plan.start.card.codec.options == {"radius_um": 5.0}
    assert plan.base.codec.radius_um != 5.0
    assert plan.recipe.codec.options == {"radius_um": 5.0}
    assert plan.start.codec.channels == plan.base.codec.channels


def test_a_codec_of_other_channels_is_refused(lab, monkeypatch):
    from transfer_kit import start

    class TwoMaps:
        channels, threshold = 2, 0.5

    monkeypatch.setattr(start, "build_codec", lambda name, **options: TwoMaps())
    with pytest.raises(UserError, match=r"proximity needs 2 maps, but the base .* gives 1"):
        plan_of(codec={"options": {"radius_um": 5.0}})


def test_a_recipe_that_was_changed_still_leaves_open_what_it_left_open(lab):
    assert make_plan(Recipe(base=BASE, target=TARGET).replaced(seed=3)).recipe.seed == 3


def test_test_cases_that_the_base_learned_from_are_refused_by_name(lab):
    learned = [s.case for s in plan_of().test]
    tiny_base(lab / "leaky.safetensors", data=[part_of(TARGET, "train", *learned)])
    with pytest.raises(UserError) as caught:
        plan_of(base="leaky.safetensors")
    said = str(caught.value)
    assert said.startswith("The base tiny-breast learned from cases that test eye-lab (")
    assert all(case in said for case in learned)
    assert "choose another base or move them to the training split" in said


def test_training_cases_that_the_base_learned_from_are_no_leak(lab):
    learned = [sample.case for sample in plan_of().train]
    tiny_base(lab / "old.safetensors", data=[part_of(TARGET, "train", *learned)])
    assert plan_of(base="old.safetensors").base is not None


def test_a_patient_of_tcga_is_the_same_in_every_dataset(lab):
    folder = lab / "tcga"
    write_folder(folder, cases=3, per_case=1, side=64, card=False)
    for kind, suffix in (("images", "png"), ("annotations", "csv")):
        for path in sorted((folder / kind).iterdir()):
            path.rename(path.with_name(f"TCGA-{path.name[1:3]}.{suffix}"))
    write_card(folder, name="another", case_pattern=r"(TCGA-\d+)")
    test_case = plan_of(target=str(folder)).test[0].case
    tiny_base(lab / "leaky.safetensors", data=[part_of("elsewhere", "train", test_case)])
    with pytest.raises(UserError, match=f"learned from cases that test another .{test_case}."):
        plan_of(base="leaky.safetensors", target=str(folder))


def test_forgetting_is_measured_on_the_base_s_own_held_out_cases(lab):
    (held_out,) = plan_of().held_out
    assert held_out.name == OWN
    assert not held_out.stands_in
    assert {sample.case for sample in held_out.samples} == {"c01", "c02"}


def test_the_embedded_organ_stands_in_for_cases_that_are_not_here(lab):
    shutil.rmtree(lab / OWN)
    drawn = lab / "home" / "cache" / "datasets" / f"breast-{__version__}"
    write_folder(drawn, cases=3, per_case=1, side=64, name="breast-synthetic", synthetic=True)
    plan = plan_of()
    (held_out,) = plan.held_out
    assert held_out.stands_in
    assert held_out.name == "breast-synthetic"
    assert any("the embedded breast stands in" in note for note in plan.notes)


def test_where_nothing_can_stand_in_the_plan_says_so(lab):
    tiny_base(lab / "odd.safetensors", organ="tooth", held_out=[part_of("gone", "test", "c00")])
    plan = plan_of(base="odd.safetensors")
    assert plan.held_out == ()
    assert any("forgetting of tooth cannot be measured" in note for note in plan.notes)


def test_several_targets_are_joined(lab):
    write_folder(lab / "ear-lab", cases=4, per_case=1, side=64, seed=5, name="ear-lab", organ="ear")
    plan = plan_of(target=f"{TARGET} + ear-lab")
    assert len(plan.targets) == 2
    assert len(plan.train) == 8 + 2
    assert plan.target_name == f"{TARGET} + ear-lab"


def test_a_folder_is_called_by_its_name_not_its_path(lab):
    assert plan_of(target=f"./{TARGET}").target_name == TARGET
    assert plan_of(target=str(lab / TARGET / "dataset.yaml")).target_name == TARGET


@pytest.mark.parametrize(
    ("cases", "splits", "said"),
    [
        (
            4,
            {"train": ["c00", "c01"], "validation": [], "test": ["c02"]},
            "few has no validation case (4 cases in all); choose one with 'transfer-kit data "
            "split few --validation-case CASE'.",
        ),
        (
            2,
            None,
            "few has no validation case (2 cases in all); label images of at least 3 cases "
            "(patients), so that there is one for each split.",
        ),
        (1, None, "few has no validation and no test case (1 case in all); label images of at"),
    ],
)
def test_a_target_without_a_split_is_refused_with_the_mend(lab, cases, splits, said):
    fields = {} if splits is None else {"splits": splits}
    write_folder(lab / "few", cases=cases, per_case=2, side=64, name="few", **fields)
    with pytest.raises(UserError) as caught:
        plan_of(target="few")
    assert str(caught.value).startswith(said)


def test_a_damaged_image_is_found_before_anything_is_trained(lab):
    image = plan_of().test[0].image_path
    image.write_bytes(image.read_bytes()[:500])
    with pytest.raises(UserError, match=rf"{image.name} is damaged or cut short"):
        plan_of()


def test_a_base_may_be_a_run_folder(lab):
    (lab / "run").mkdir()
    shutil.copy(lab / BASE, lab / "run" / "detector.safetensors")
    assert plan_of(base="run").base.card == Detector.load(lab / BASE).card
