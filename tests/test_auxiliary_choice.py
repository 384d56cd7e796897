"""Which images are learned from beside the target's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from dataset_folders import write_folder
from laboratory import BASE, OWN, TARGET, listing, part_of, tiny_base

from transfer_kit.errors import UserError
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.stores.datasets import find_dataset

pytest_plugins = ["lab_fixtures"]

EAR, LIP = "ear-lab", "lip-lab"


@pytest.fixture
def lab(lab):
    """With two more organs, of other scales."""
    for name, cases, mpp, trains in ((EAR, 4, 0.4, 0.5), (LIP, 8, 0.25, 0.75)):
        rest = (1 - trains) / 2
        splits = {"train": trains, "validation": rest, "test": rest}
        fields = {"name": name, "organ": name[:3], "mpp": mpp, "splits": splits}
        write_folder(lab / name, cases=cases, per_case=2, side=64, seed=10 + cases, **fields)
    return lab


def plan_of(*sources, **fields):
    auxiliary = {"sources": sources, **fields.pop("auxiliary", {})}
    recipe = {"base": BASE, "target": TARGET, "labels": "4", "auxiliary": auxiliary}
    return make_plan(Recipe(**{**recipe, **fields}))


def refused(*sources, **fields):
    with pytest.raises(UserError) as caught:
        plan_of(*sources, **fields)
    return str(caught.value)


def ids(plan):
    return {f"{source.name}/{s.id}" for source in plan.auxiliary for s in source.samples}


def test_the_training_cases_of_each_source_are_learned_from(lab):
    before = listing(lab)
    ear, lip = plan_of(EAR, LIP).auxiliary
    for source in (ear, lip):
        assert set(source.samples) == set(find_dataset(source.name).split("train"))
    assert listing(lab) == before


def test_a_smaller_share_of_the_pool_lies_inside_a_larger_one_of_the_same_seed(lab):
    shares = [ids(plan_of(EAR, LIP, auxiliary={"share": f"{p}%"})) for p in (10, 25, 50, 100)]
    assert [len(share) for share in shares] == [2, 4, 8, 16]  # of 16 images in all
    assert all(few < more for few, more in itertools.pairwise(shares))
    other = ids(plan_of(EAR, LIP, auxiliary={"share": "25%"}, seed=3))
    assert len(other) == 4
    assert other != shares[1]


def test_a_source_of_which_nothing_is_drawn_is_left_out_and_said(lab):
    plan = plan_of(EAR, LIP, auxiliary={"share": "1%"})
    assert len(plan.auxiliary) == len(ids(plan)) == 1
    said = "auxiliary.share: 1% of all images holds none of"
    assert any(note.startswith(said) for note in plan.notes)


def test_the_nearer_source_is_drawn_more_often_by_similarity(lab):
    weights = {
        sampling: [s.weight for s in plan_of(EAR, LIP, auxiliary={"sampling": sampling}).auxiliary]
        for sampling in ("even", "similarity")
    }
    # Equal pixels at .4 µm are nuclei 1.6 times as wide as the target's and at .25 µm as wide.
    ear, lip = weights["similarity"]
    assert lip > 2 * ear
    assert weights["even"] == [1.0, 1.0]


def test_the_plan_s_recipe_says_it_all_and_gives_the_same_plan(lab):
    plan = plan_of(f"./{EAR}", LIP, auxiliary={"mpp": {f"./{EAR}": 0.5}, "gamma": 5})
    assert plan.recipe.auxiliary.sources == (str(lab / EAR), LIP)
    assert plan.recipe.auxiliary.mpp == {str(lab / EAR): 0.5}
    again = make_plan(plan.recipe)
    assert again.recipe == plan.recipe
    assert ids(again) == ids(plan)


def test_a_scale_of_the_recipe_goes_before_the_card_s(lab):
    plan = plan_of(EAR, auxiliary={"mpp": {EAR: 0.5, TARGET: 0.3}})
    assert {sample.mpp for sample in plan.auxiliary[0].samples} == {0.5}
    assert {sample.mpp for sample in (*plan.train, *plan.test)} == {0.3}


def test_held_out_cases_are_not_learned_from_and_the_target_s_are_tested_on(lab):
    kept = find_dataset(EAR).split("train").cases[0]
    trains = find_dataset(TARGET).split("train").cases[0]
    plan = plan_of(EAR, auxiliary={"held_out": {EAR: [kept], TARGET: [trains]}})
    assert kept not in {sample.case for sample in plan.auxiliary[0].samples}
    assert trains in {sample.case for sample in plan.test}


# from scratch


def test_a_training_from_scratch_has_auxiliary_data_too_and_the_colours_of_the_pool(lab):
    network = {"name": "micronet", "options": {"width": 4}}
    plan = plan_of(EAR, base="none", network=network)
    assert plan.start.card.mpp == 0.25
    assert (len(plan.train), len(plan.auxiliary[0].samples)) == (4, 4)
    pixels = np.concatenate([s.image().reshape(-1, 3) for s in plan.learned_samples]) / 255
    assert np.allclose(plan.start.card.mean, pixels.mean(axis=0), atol=1e-6)


def test_several_targets_share_their_sources(lab):
    plan = plan_of(LIP, target=f"{TARGET} + {EAR}")
    assert [source.name for source in plan.auxiliary] == [LIP]
    assert plan.pair is None
    assert [target.name for target in plan.targets] == [TARGET, EAR]


# classes


def name_all(folder, name):
    for path in (folder / "annotations").glob("*.csv"):
        _, *rows = path.read_text().splitlines()
        path.write_text("\n".join(["x,y,class", *(f"{row},{name}" for row in rows), ""]))


def test_classes_of_a_source_go_by_the_recipe_s_table(lab):
    name_all(lab / TARGET, "tumour")
    name_all(lab / EAR, "neoplastic")
    scratch = {"base": "none", "network": {"name": "micronet", "options": {"width": 4}}}
    said = refused(EAR, classes=["tumour"], **scratch)
    assert said.startswith("auxiliary.classes: ear-lab has nuclei of class 'neoplastic', which is")
    for name in ("tumour", ""):
        table = {"classes": {EAR: {"neoplastic": name}}}
        plan = plan_of(EAR, classes=["tumour"], auxiliary=table, **scratch)
        assert set(plan.auxiliary[0].samples[0].annotation().classes) == {name}


# leaks, and what is not there


def test_the_target_itself_is_no_auxiliary_source(lab):
    said = refused(EAR, TARGET)
    assert f"should not name the target {TARGET} itself, whose test cases would leak" in said
    assert "is the target eye-lab itself, whose test cases would leak" in refused(f"./{TARGET}")


def test_patients_of_the_target_s_test_in_a_source_are_refused_by_name(lab):
    tested = find_dataset(TARGET).split("test")[0]
    learned = find_dataset(EAR).split("train")[0]
    learned.image_path.unlink()
    learned.image_path.symlink_to(tested.image_path.resolve())
    said = refused(EAR)
    assert f"auxiliary source {EAR} learns from the patient {tested.case} that {TARGET} is" in said
    assert f"add 'held_out: {{{EAR}: [{learned.case}]}}' to the pair" in said
    plan_of(EAR, auxiliary={"held_out": {EAR: [learned.case]}})


def test_patients_of_the_target_s_test_in_the_base_are_refused_by_name(lab):
    case = find_dataset(TARGET).split("test").cases[0]
    tiny_base(lab / "leaky.safetensors", data=[part_of(TARGET, "train", case)])
    said = refused(EAR, base="leaky.safetensors")
    assert f"learned from cases that test {TARGET} ({case})" in said


def test_a_source_s_own_test_cases_are_no_leak(lab):
    tested = find_dataset(TARGET).split("test")[0]
    kept = find_dataset(EAR).split("test")[0]
    kept.image_path.unlink()
    kept.image_path.symlink_to(tested.image_path.resolve())
    assert plan_of(EAR).auxiliary


def test_what_a_source_learned_from_is_no_test_of_later_trainings(lab):
    """The card lists auxiliary data, so that a detector trained on them is refused as a base."""
    case = find_dataset(EAR).split("test").cases[0]
    tiny_base(lab / "later.safetensors", data=[part_of(EAR, "auxiliary", case)])
    assert f"learned from cases that test {EAR} ({case})" in refused(
        base="later.safetensors", target=EAR, labels="100%"
    )


@pytest.mark.parametrize(
    ("sources", "settings", "said"),
    [
        (["eer-lab"], {}, "auxiliary: There is no organ, dataset or folder 'eer-lab'"),
        ([EAR, EAR], {}, "auxiliary: should name each source once"),
        ([EAR], {"mpp": {LIP: 0.5}}, "'lip-lab' should be the target or an auxiliary source"),
        ([EAR], {"held_out": {EAR: ["c77"]}}, "there is no case 'c77' in ear-lab"),
        ([EAR], {"classes": {EAR: {"x": "y"}}}, "there is no class 'x' in ear-lab"),
    ],
)
def test_what_is_not_there_is_refused_in_one_sentence(lab, sources, settings, said):
    assert said in refused(*sources, auxiliary=settings)


def test_a_source_without_training_cases_is_refused(lab):
    splits = {"train": [], "validation": ["c00"], "test": ["c01", "c02"]}
    write_folder(lab / "odd", cases=3, per_case=1, side=64, name="odd", splits=splits)
    assert "odd has no train case" in refused("odd")


# what is said


@pytest.mark.parametrize(
    ("settings", "train", "note"),
    [
        ({"gamma": 5}, {}, "auxiliary.gamma: 5 has no effect, since there are no auxiliary data"),
        ({"replay": "10%"}, {}, "auxiliary.replay: 10% is left out, since without a base nothing"),
    ],
)
def test_what_has_no_effect_is_said(lab, settings, train, note):
    network = {"name": "micronet", "options": {"width": 4}}
    notes = plan_of(auxiliary=settings, base="none", network=network, train=train).notes
    assert any(each.startswith(note) for each in notes)


def test_weights_that_are_never_reached_are_said(lab):
    plan = plan_of(EAR, auxiliary={"gamma": {0: 5, 9: 1}}, train={"steps": 9})
    note = "auxiliary.gamma: the training ends at step 9, before step 9 of the schedule"
    assert note in plan.notes


def test_forgetting_is_not_measured_on_cases_that_are_learned_from(lab):
    parts = {"data": [part_of("elsewhere", "train", "c00")]}
    tiny_base(lab / "own.safetensors", **parts, held_out=[part_of(OWN, "test", "c00", "c01")])
    assert find_dataset(OWN).split("train").cases == ("c00",)
    (kept,) = plan_of(OWN, base="own.safetensors").held_out
    assert {sample.case for sample in kept.samples} == {"c01"}
    notes = plan_of(OWN, base="own.safetensors").notes
    assert any(
        note == "c00 of breast-lab, held out from the base, are learned from as auxiliary data: "
        "forgetting is not measured on them"
        for note in notes
    )


# replay


def test_replay_is_a_nested_share_of_what_the_base_learned_from(lab):
    cases = find_dataset(LIP).cases
    parts = [part_of(LIP, "train", *cases[:5]), part_of(LIP, "validation", cases[5])]
    tiny_base(lab / "base2.safetensors", data=parts)
    shares = []
    for share in ("30%", "50%", "100%"):
        plan = plan_of(base="base2.safetensors", auxiliary={"replay": share})
        (source,) = plan.auxiliary
        assert source.is_replay
        shares.append({sample.id for sample in source.samples})
        assert {sample.case for sample in source.samples} <= set(cases[:5])
    assert [len(share) for share in shares] == [3, 5, 10]
    assert shares[0] < shares[1] < shares[2]


def test_replay_goes_beside_other_sources(lab):
    ear, replay = plan_of(EAR, auxiliary={"replay": "100%", "sampling": "even"}).auxiliary
    assert (ear.name, ear.is_replay) == (EAR, False)
    assert (replay.name, replay.is_replay) == ("replay of tiny-breast", True)
    assert {sample.case for sample in replay.samples} == {"c00"}


def test_replay_of_data_that_are_not_here_is_refused(lab):
    tiny_base(lab / "far.safetensors", data=[part_of("gone", "train", "c00")])
    said = refused(base="far.safetensors", auxiliary={"replay": "10%"})
    assert said == (
        "auxiliary.replay: the images that the base tiny-breast learned from (gone) are not on "
        "this machine; set TRANSFER_KIT_DATA to the folder that holds them, or leave replay out."
    )


def test_replay_of_cases_that_are_not_here_is_refused(lab):
    tiny_base(lab / "far.safetensors", data=[part_of(OWN, "train", "c00", "c42")])
    assert "c42 of breast-lab, which the base tiny-breast learned from, are not on" in refused(
        base="far.safetensors", auxiliary={"replay": "10%"}
    )


def test_the_target_s_own_images_are_not_replayed(lab):
    trains = find_dataset(TARGET).split("train").cases
    both = [part_of(TARGET, "train", *trains), part_of(OWN, "train", "c00")]
    tiny_base(lab / "again.safetensors", data=both)
    (source,) = plan_of(base="again.safetensors", auxiliary={"replay": "100%"}).auxiliary
    assert {dataset.name for dataset in source.datasets} == {OWN}
    tiny_base(lab / "same.safetensors", data=both[:1])
    said = refused(base="same.safetensors", auxiliary={"replay": "100%"})
    assert "learned from images of the target alone, so that there is nothing to replay" in said
