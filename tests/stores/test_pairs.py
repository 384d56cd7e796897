from __future__ import annotations

import shutil

import numpy as np
import pytest
from dataset_folders import write_card, write_folder
from laboratory import BASE, OWN, TARGET, part_of, tiny_base
from PIL import Image

from transfer_kit.data.patients import patient_of
from transfer_kit.errors import UserError
from transfer_kit.pair import Pair
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.locations import shipped
from transfer_kit.stores.pair_figures import measure_pair, pair_organs
from transfer_kit.stores.pair_leaks import check_pair, refuse_leaks
from transfer_kit.stores.pair_members import find_members
from transfer_kit.stores.pairs import add_pair, find_pair, list_pairs, pair_of_options

pytest_plugins = ["lab_fixtures"]


def members_of(**fields):
    return find_members(Pair(**{"base": BASE, "target": TARGET, **fields}))


def refused(**fields):
    with pytest.raises(UserError) as caught:
        members_of(**fields)
    return str(caught.value)


def held_out_part():
    return find_dataset(TARGET).split("test")


# the store


def test_every_shipped_pair_is_valid_and_named_as_its_file():
    paths = sorted(shipped("pairs").glob("*.yaml"))
    assert len(paths) >= 4
    datasets = {path.stem for path in shipped("datasets").glob("*.yaml")}
    for path in paths:
        pair = Pair.read(path)
        assert pair.name == path.stem
        assert pair.description
        assert set(pair.sources) <= datasets | {"eye", "kidney"}


def test_an_added_pair_is_found_and_hides_a_shipped_one_only_when_told(lab):
    mine = Pair(name="breast-eye", base="breast", target="eye")
    with pytest.raises(UserError, match=r"A pair breast-eye is there already .*add --replace"):
        add_pair(mine)
    stored = add_pair(mine, replace=True)
    assert stored.path == lab / "home" / "pairs" / "breast-eye.yaml"
    assert find_pair("breast-eye") == mine
    assert [pair.ships for pair in list_pairs() if pair.name == "breast-eye"] == [False]


def test_an_unknown_pair_names_the_nearest(lab):
    with pytest.raises(UserError, match=r"no pair 'brest-eye'\. Did you mean 'breast-eye'\?"):
        find_pair("brest-eye")
    with pytest.raises(UserError, match=r"nowhere\.yaml does not exist; check the path"):
        find_pair("nowhere.yaml")


def test_a_pair_without_a_name_is_not_kept(lab):
    with pytest.raises(UserError, match="breast → eye has no name; give it one with --name"):
        add_pair(Pair(base="breast", target="eye"))


def test_options_go_before_the_file_and_paths_become_absolute(lab):
    Pair(base="breast", target=f"./{TARGET}", mpp={f"./{TARGET}": 0.3}).write("pair.yaml")
    pair = pair_of_options({"base": f"./{BASE}"}, lab / "pair.yaml")
    assert pair.base == str(lab / BASE)
    assert pair.target == str(lab / TARGET)
    assert pair.mpp == {str(lab / TARGET): 0.3}
    assert pair.name == "base-eye-lab"
    assert pair_of_options({"base": "breast", "target": "eye"}).name == "breast-eye"


# what a pair names


def test_all_unknown_names_are_told_at_once_with_the_nearest(lab):
    said = refused(base="brest", target="liver-", auxiliary=["kidny"])
    assert "base: There is no base organ or model 'brest'. Did you mean 'breast'?" in said
    assert "target: There is no organ, dataset or folder 'liver-'. Did you mean 'liver'?" in said
    assert "auxiliary: There is no organ, dataset or folder 'kidny'. Did you mean 'kidney'?" in said


def test_the_target_under_another_name_is_refused_as_a_leak(lab):
    said = refused(auxiliary=[str(lab / TARGET)])
    assert f"{lab / TARGET} is the target {TARGET} itself, whose test cases would leak" in said


def test_the_mpp_of_a_pair_takes_the_place_of_the_card_s(lab):
    members = members_of(mpp={TARGET: 0.4}, auxiliary=[OWN])
    assert {sample.mpp for sample in members.target} == {0.4}
    assert {sample.mpp for sample in members.auxiliary[0]} == {0.25}
    assert members.target.card.mpp == 0.4


def test_held_out_cases_are_tested_on_in_the_target_and_left_out_of_a_source(lab):
    target = find_dataset(TARGET)
    case = target.split("train").cases[0]
    members = members_of(auxiliary=[OWN], held_out={TARGET: [case], OWN: ["c01"]})
    assert set(members.target.split("test").cases) == {*target.split("test").cases, case}
    assert case not in members.target.split("train").cases
    assert members.auxiliary[0].cases == ("c00", "c02")


def test_a_held_out_case_that_is_not_there_names_the_nearest(lab):
    said = refused(held_out={TARGET: ["C02"]})
    assert f"target: held_out: there is no case 'C02' in {TARGET}. Did you mean 'c02'?" in said
    said = refused(auxiliary=[OWN], held_out={OWN: ["c00", "c01", "c02"]})
    assert f"auxiliary: {OWN} has no case left that is not held out; leave it out." in said


@pytest.fixture
def classed(lab):
    write_card(lab / OWN, name=OWN, case_pattern=r"(c\d+)_", classes=["tumor", "other"])
    splits = {"train": 0.5, "validation": 0.25, "test": 0.25}
    card = {"name": TARGET, "organ": "eye", "splits": splits, "case_pattern": r"(c\d+)_"}
    write_card(lab / TARGET, **card, classes=["tumour", "stroma"])
    return lab


def test_a_table_of_classes_that_are_there_is_taken(classed):
    members = members_of(auxiliary=[OWN], classes={OWN: {"tumor": "tumour", "other": ""}})
    assert members.pair.classes[OWN]["other"] == ""


def test_a_class_that_the_source_does_not_have_is_refused(classed):
    said = refused(auxiliary=[OWN], classes={OWN: {"tumr": "tumour"}})
    assert f"classes: there is no class 'tumr' in {OWN}. Did you mean 'tumor'?" in said


def test_a_class_that_the_target_does_not_have_is_refused(classed):
    said = refused(auxiliary=[OWN], classes={OWN: {"tumor": "tumur"}})
    assert f"maps to 'tumur', which is no class of the target {TARGET}" in said
    assert "Did you mean 'tumour'?" in said


def test_the_target_s_own_table_gives_it_new_names(classed):
    renamed = {TARGET: {"tumour": "cancer"}}
    members_of(auxiliary=[OWN], classes={**renamed, OWN: {"tumor": "cancer"}})
    said = refused(auxiliary=[OWN], classes={**renamed, OWN: {"tumor": "tumour"}})
    assert "maps to 'tumour', which is no class of the target" in said


def test_a_base_that_tells_classes_decides_their_names(classed):
    tiny_base(classed / "classed.safetensors", classes=("cell", "gland"))
    said = refused(base="classed.safetensors", classes={TARGET: {"tumour": "glnd"}})
    assert "maps to 'glnd', which is no class of the base. Did you mean 'gland'?" in said


# leaks


def test_a_sound_pair_has_no_finding(lab):
    members = members_of(auxiliary=[OWN])
    refuse_leaks(members)
    assert check_pair(members) == []


def test_a_base_that_learned_from_tested_patients_is_refused_with_their_ids(lab):
    case = held_out_part().cases[0]
    tiny_base(lab / "leaky.safetensors", data=[part_of(TARGET, "train", case)])
    members = members_of(base="leaky.safetensors")
    with pytest.raises(
        UserError,
        match=rf"The base tiny-breast learns from the patient {case} that {TARGET} is tested on, "
        ".*; choose another base",
    ):
        refuse_leaks(members)
    codes = {finding.code for finding in check_pair(members)}
    assert codes == {"same-patient", "same-image"}


def test_a_tcga_patient_is_recognised_in_another_dataset_s_file_names(lab):
    for folder, case in ((TARGET, held_out_part().cases[0]), (OWN, "c01")):
        for path in [*(lab / folder).rglob(f"{case}_*")]:
            path.rename(path.with_name(f"TCGA-A7-A13E-{path.name}"))
    members = members_of(auxiliary=[OWN])
    (finding,) = check_pair(members)
    assert finding.code == "same-patient"
    assert (
        f"The auxiliary source {OWN} learns from the patient TCGA-A7-A13E that" in finding.message
    )
    assert f"add 'held_out: {{{OWN}: [c01]}}' to the pair" in finding.message
    held = members_of(auxiliary=[OWN], held_out={OWN: ["c01"]})
    refuse_leaks(held)
    assert check_pair(held) == []


def test_the_very_file_under_another_patient_s_name_is_the_same_patient(lab):
    (lab / "all").mkdir()
    write_card(lab / "all", name="all", root=str(lab / TARGET), case_pattern=r"c(\d+)_")
    shutil.copytree(lab / OWN / "images", lab / TARGET / "images", dirs_exist_ok=True)
    write_folder(lab / TARGET / "more", cases=1, per_case=1, card=False)
    for path in (lab / TARGET / "more" / "images").iterdir():
        path.rename(lab / TARGET / "images" / "c77_0.png")
    write_card(
        lab / TARGET,
        name=TARGET,
        images="images/c0*.png",
        case_pattern=r"(c\d+)_",
        splits={"train": 0.5, "validation": 0.25, "test": 0.25},
    )
    members = members_of(auxiliary=["all"])
    with pytest.raises(
        UserError, match=r"auxiliary source all learns from the 2 patients c0\d, c0"
    ):
        refuse_leaks(members)


@pytest.mark.parametrize("change", ["mirrored and smaller", "recompressed"])
def test_a_changed_copy_of_a_tested_picture_is_found(lab, change):
    tested_image = held_out_part()[0].image_path
    copy = lab / OWN / "images" / "c00_0.png"
    if change == "recompressed":
        Image.open(tested_image).save(lab / "copy.jpg", quality=40)
        Image.open(lab / "copy.jpg").save(copy)
    else:
        mirrored = np.asarray(Image.open(tested_image))[:, ::-1]
        Image.fromarray(np.ascontiguousarray(mirrored)).resize((80, 80)).save(copy)
    found = check_pair(members_of(auxiliary=[OWN]))
    # The base learned from that case of the same dataset, so both know it.
    assert [finding.code for finding in found] == ["near-duplicate"] * 2
    for finding in found:
        assert f"{OWN}/images/c00_0.png of the " in finding.message
        assert f"and {tested_image} of the test are nearly the same picture" in finding.message


def test_absent_images_of_the_base_are_a_warning_that_names_them(lab):
    shutil.rmtree(lab / OWN)
    (finding,) = check_pair(members_of())
    assert (finding.severity, finding.code) == ("warning", "not-compared")
    assert f"The images of {OWN}, which the base tiny-breast learned from" in finding.message


def test_patients_of_tcga_are_one_in_all_datasets_and_others_in_their_own():
    assert patient_of("a", "TCGA-A7-A13E-01Z") == patient_of("b", "x", "TCGA-A7-A13E.png")
    assert patient_of("a", "01") != patient_of("b", "01")


# without a base


def test_a_pair_may_start_from_scratch_and_leaks_all_the_same(lab):
    members = members_of(base="none", auxiliary=[OWN])
    assert members.base is members.weights is None
    assert check_pair(members) == []
    assert [organ.role for organ in pair_organs(members)] == ["target", "auxiliary"]
    tested = held_out_part()[0]
    Image.open(tested.image_path).save(members.auxiliary[0][0].image_path)
    assert [finding.code for finding in check_pair(members)] == ["same-image"]


# figures


def test_the_organs_of_a_pair_are_measured_and_only_the_target_has_no_distance(lab):
    organs = pair_organs(members_of(auxiliary=[OWN]))
    assert [organ.role for organ in organs] == ["base", "target", "auxiliary"]
    assert [len(organ.samples) for organ in organs] == [1, 16, 3]
    base, target, auxiliary = measure_pair(organs)
    assert target.distance is None
    assert base.distance is not None
    assert auxiliary.distance is not None
    assert auxiliary.distance.stain < 0.1  # drawn in the same colours
    assert target.figures.diameter_um == pytest.approx(5.75, rel=0.25)


def test_a_base_whose_images_are_nowhere_is_told(lab):
    shutil.rmtree(lab / OWN)
    tiny_base(lab / BASE, organ="tooth")
    with pytest.raises(UserError, match="and no embedded organ 'tooth' can stand in for them"):
        pair_organs(members_of())


@pytest.mark.real_data
def test_shipped_pairs_of_public_sets_name_what_is_there_and_do_not_leak(real_data, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_DATA", str(real_data))
    for name in ("breast-gbm40", "breast-monuseg-kidney", "breast-monuseg-prostate"):
        refuse_leaks(find_members(find_pair(name)))
