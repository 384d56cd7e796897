"""What a dataset of the lab is tested on is never learned from, whatever is added afterwards."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from dataset_folders import write_card, write_folder
from PIL import Image

from transfer_kit.data.card import DatasetCard, SplitPlan
from transfer_kit.data.splits import permuted
from transfer_kit.errors import UserError
from transfer_kit.stores.datasets import add_dataset, find_dataset, register, save_splits
from transfer_kit.stores.keeping_tests import remember_tests
from transfer_kit.stores.tested import recall

FIELDS = {"organ": "eye", "stain": "H&E", "mpp": 0.25, "licence": "private"}
LISTS = {"train": ["c00", "c01"], "validation": ["c02"], "test": ["c03"]}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSFER_KIT_DATA", "")
    return tmp_path / "home"


@pytest.fixture
def eye(tmp_path):
    """my-eye: c00 to c03, of which c03 is the test."""
    folder = write_folder(
        tmp_path / "my-eye", cases=4, per_case=1, side=96, name="my-eye", splits=LISTS
    )
    register(folder)
    return folder


def image(folder, name):
    return folder / "images" / f"{name}_0.png"


def copied(eye, folder, names, **fields):
    """Another folder with some of the images, under names of its own, and a card."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for old, new in names.items():
        shutil.copy(image(eye, old), image(folder, new))
        shutil.copy(eye / "annotations" / f"{old}_0.csv", folder / "annotations" / f"{new}_0.csv")
    if fields:
        write_card(folder, **{"case_pattern": r"(\w+)_0", **fields})
    return folder


def added(folder, name, **options):
    notes = []
    fields = {**FIELDS, "name": name, "case_pattern": r"(\w+)_0"}
    add_dataset(folder, fields, note=notes.append, **options)
    return find_dataset(name).assignment, notes


def test_added_again_with_more_images_no_case_moves(eye, tmp_path):
    """Without lists, more cases would deal all of them anew."""
    before = dict(find_dataset("my-eye").assignment)
    for number in range(4, 12):
        shutil.copy(image(eye, "c00"), image(eye, f"c{number:02d}"))
        pixels = np.random.default_rng(number).integers(0, 255, (96, 96, 3), np.uint8)
        Image.fromarray(pixels).save(image(eye, f"c{number:02d}"))
    after, notes = added(eye, "my-eye", replace=True)
    assert {case: after[case] for case in before} == before
    assert set(after) == {f"c{number:02d}" for number in range(12)}
    (new,) = [note for note in notes if note.startswith("New cases")]
    assert "c04 in " in new
    assert "c11 in " in new


def test_dealt_by_fractions_the_test_of_the_first_day_stays_the_test(tmp_path):
    folder = write_folder(tmp_path / "lab", cases=9, per_case=1, side=64, card=False)
    order = permuted([f"c{number:02d}" for number in range(9)], seed=0)
    late = [image(folder, case) for case in order[3:]]
    for path in late:
        path.rename(path.with_suffix(".later"))
    first, _ = added(folder, "lab")
    for path in late:
        path.with_suffix(".later").rename(path)
    second, notes = added(folder, "lab", replace=True)
    assert {case: second[case] for case in first} == first
    # Were they dealt anew, the test would be others: what is tested here can fail.
    fresh = DatasetCard.read(folder / "dataset.yaml").model_copy(update={"splits": SplitPlan()})
    fresh.write(folder / "dataset.yaml")
    dealt = find_dataset("lab").assignment
    assert {case: dealt[case] for case in first} != first
    stays = [note for note in notes if "stays in the test: lab is tested on it." in note]
    assert [note.split()[1] for note in stays] == [
        c for c in first if first[c] == "test" and dealt[c] != "test"
    ]


def test_a_card_that_lists_cases_gets_the_new_ones_dealt(eye):
    pixels = np.random.default_rng(1).integers(0, 255, (96, 96, 3), np.uint8)
    Image.fromarray(pixels).save(image(eye, "c09"))
    notes = []
    register(eye, note=notes.append)
    card = DatasetCard.read(eye / "dataset.yaml")
    lists = card.splits.lists
    assert {s: [c for c in cases if c != "c09"] for s, cases in lists.items()} == LISTS
    assert any("c09" in cases for cases in lists.values())
    assert notes == [f"New cases: c09 in {find_dataset('my-eye').assignment['c09']}."]
    save_splits("my-eye", find_dataset("my-eye"), SplitPlan(**LISTS))
    register(eye)  # c09 was left out by hand, and is known
    assert DatasetCard.read(eye / "dataset.yaml").splits.lists == LISTS


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_test_case_that_is_listed_for_training_is_refused(eye, split):
    lists = {**LISTS, "test": ["c00"], "train": ["c01"]}
    lists[split] = [*lists[split], "c03"]
    write_card(eye, name="my-eye", case_pattern=r"(c\d+)_", splits=lists)
    before = (eye / "dataset.yaml").read_bytes()
    with pytest.raises(UserError) as caught:
        register(eye)
    assert str(caught.value) == (
        "my-eye would learn from case c03, which must stay in the test: my-eye is tested on it; "
        f"list it for the test again in {eye.resolve() / 'dataset.yaml'}."
    )
    assert (eye / "dataset.yaml").read_bytes() == before
    assert recall("my-eye").splits["c03"] == "test"


def test_a_test_image_under_another_name_stays_in_the_test(eye, tmp_path):
    # A name that would be dealt to training.
    name = next(x for x in "abcdefgh" if permuted(["c00", "c01", x], seed=0)[0] == x)
    folder = copied(eye, tmp_path / "next", {"c00": "c00", "c01": "c01", "c03": name})
    after, notes = added(folder, "my-eye", replace=True)
    assert after[name] == "test"
    (kept,) = [note for note in notes if note.startswith(f"Case {name} stays in the test: ")]
    assert f"{name}_0.png is the picture of" in kept
    assert "c03_0.png, on which my-eye is tested." in kept


def test_what_was_tested_on_once_is_remembered_after_it_left(eye, tmp_path):
    folder = copied(eye, tmp_path / "next", {"c00": "c00", "c01": "c01", "c02": "c02"})
    added(folder, "my-eye", replace=True)
    shutil.copy(image(eye, "c03"), image(folder, "c03"))
    shutil.copy(eye / "annotations" / "c03_0.csv", folder / "annotations")
    after, _ = added(folder, "my-eye", replace=True)
    assert after["c03"] == "test"


def changed(pixels, how):
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(pixels[:, ::-1])))
    return {
        "as it is": lambda: Image.fromarray(pixels),
        "turned and mirrored": lambda: turned,
        "smaller": lambda: Image.fromarray(pixels).resize((64, 64)),
    }[how]()


@pytest.mark.parametrize("how", ["as it is", "turned and mirrored", "smaller", "as JPEG"])
def test_a_test_image_of_another_dataset_is_refused(eye, tmp_path, how):
    folder = copied(eye, tmp_path / "my-eye-2", {"c00": "a", "c01": "b", "c03": "x"})
    path = image(folder, "x")
    pixels = np.asarray(Image.open(path))
    if how == "as JPEG":
        path.unlink()
        path = path.with_suffix(".jpg")
        Image.fromarray(pixels).save(path, quality=60)
    else:
        changed(pixels, how).save(path)
    lists = {"train": ["a", "x"], "validation": ["b"], "test": []}
    with pytest.raises(UserError) as caught:
        added(folder, "my-eye-2", test_cases=())
        write_card(folder, name="my-eye-2", case_pattern=r"(\w+)_0", splits=lists)
        register(folder)
    sentence = str(caught.value)
    assert "my-eye-2 would learn from case x, which must stay in the test" in sentence
    assert "on which my-eye is tested; add --test-case x, or leave it out." in sentence
    likeness = r"is the picture of" if how == "as it is" else r"is nearly the picture of"
    assert likeness in sentence


def test_put_into_the_test_it_may_come(eye, tmp_path):
    folder = copied(eye, tmp_path / "my-eye-2", {"c00": "a", "c01": "b", "c03": "x"})
    after, _ = added(folder, "my-eye-2", test_cases=["x"])
    assert after["x"] == "test"
    assert sorted(after) == ["a", "b", "x"]


def test_a_card_s_own_lists_may_put_it_there(eye, tmp_path):
    lists = {"train": ["a"], "validation": ["b"], "test": ["x"]}
    names = {"c00": "a", "c01": "b", "c03": "x"}
    folder = copied(eye, tmp_path / "two", names, name="my-eye-2", splits=lists)
    register(folder)
    assert find_dataset("my-eye-2").split("test").cases == ("x",)
    listed = DatasetCard.read(folder / "dataset.yaml").splits.lists
    assert listed == lists


def test_all_identifiers_are_told_and_patients_of_the_same_name_go_along(eye, tmp_path):
    """Of c03 and c02 pictures were tested; c01 is another picture of a tested patient."""
    tested = {"train": ["c00"], "validation": [], "test": ["c01", "c02", "c03"]}
    save_splits("my-eye", find_dataset("my-eye"), SplitPlan(**tested))
    names = {"c00": "c00", "c02": "q", "c03": "r"}
    lists = {"train": ["c00", "c01", "q", "r"], "validation": [], "test": []}
    folder = copied(eye, tmp_path / "two", names, name="my-eye-2", splits=lists)
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    Image.fromarray(noise).save(image(folder, "c01"))
    with pytest.raises(UserError) as caught:
        register(folder)
    assert "would learn from 3 cases (c01, q, r), which must stay in the test: " in str(
        caught.value
    )
    assert "add --test-case c01 --test-case q --test-case r, or leave it out." in str(caught.value)


def test_the_same_name_alone_means_nothing_between_datasets(eye, tmp_path):
    folder = write_folder(
        tmp_path / "skin",
        cases=4,
        per_case=1,
        side=96,
        seed=7,
        name="skin",
        splits={"train": ["c03", "c02"], "validation": ["c01"], "test": ["c00"]},
    )
    register(folder)
    assert "skin" in {find_dataset("skin").name}


def test_a_tcga_patient_is_one_person_in_all_datasets(tmp_path):
    pattern = r"(TCGA-\w{2}-\w{4})"

    def made(name, patients, seed):
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        for k, patient in enumerate(patients):
            pixels = np.random.default_rng([seed, k]).integers(0, 255, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"TCGA-A1-{patient}-01Z.png")
            (folder / "images" / f"TCGA-A1-{patient}-01Z.csv").write_text("x,y\n5,5\n")
        return folder

    one = made("one", ["0001", "0002", "0003"], 0)
    lists = {"train": ["TCGA-A1-0001"], "validation": ["TCGA-A1-0002"], "test": ["TCGA-A1-0003"]}
    write_card(one, name="one", case_pattern=pattern, splits=lists)
    register(one)
    two = made("two", ["0003", "0004"], 1)
    lists = {"train": ["TCGA-A1-0003"], "validation": [], "test": ["TCGA-A1-0004"]}
    write_card(two, name="two", case_pattern=pattern, splits=lists)
    with pytest.raises(UserError, match=r"case TCGA-A1-0003, .*: one is tested on this patient; "):
        register(two)


def test_a_dataset_that_was_added_long_ago_is_looked_up(eye, home, tmp_path):
    (home / "datasets" / "my-eye.tested.json").unlink()
    folder = copied(
        eye,
        tmp_path / "two",
        {"c03": "x"},
        name="my-eye-2",
        splits={"train": ["x"], "validation": [], "test": []},
    )
    with pytest.raises(UserError, match="my-eye-2 would learn from case x"):
        register(folder)
    assert recall("my-eye").splits["c03"] == "test"


def test_the_tests_of_a_dataset_that_is_gone_still_count(eye, tmp_path):
    folder = copied(
        eye,
        tmp_path / "two",
        {"c03": "x"},
        name="my-eye-2",
        splits={"train": ["x"], "validation": [], "test": []},
    )
    shutil.rmtree(eye)
    with pytest.raises(UserError, match="my-eye-2 would learn from case x"):
        register(folder)


def test_what_cannot_be_compared_is_told(eye, home, tmp_path):
    (home / "datasets" / "my-eye.tested.json").unlink()
    folder = copied(eye, tmp_path / "two", {"c00": "a"}, name="my-eye-2")
    shutil.rmtree(eye)
    notes = []
    register(folder, note=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("The test images of my-eye could not be compared: There is no")


@pytest.mark.parametrize("text", ["", "{}", '{"dataset": "my-eye", "splits": {}, "test": [1]}'])
def test_a_damaged_record_is_one_sentence(eye, home, text):
    record = home / "datasets" / "my-eye.tested.json"
    record.write_text(text)
    with pytest.raises(UserError) as caught:
        register(eye)
    assert f"{record}, which says what my-eye is tested on, is damaged; delete it" in str(
        caught.value
    )
    record.unlink()
    register(eye)


def test_a_thumbnail_of_another_size_is_damage(eye, home):
    record = home / "datasets" / "my-eye.tested.json"
    document = json.loads(record.read_text())
    document["test"][0]["thumbnail"] = "AAAA"
    record.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"my-eye\.tested\.json, .* is damaged"):
        recall("my-eye")


def test_an_image_that_cannot_be_read_is_the_check_s_affair(tmp_path):
    folder = write_folder(tmp_path / "lab", cases=3, per_case=1, side=64, name="lab")
    image(folder, "c01").write_bytes(b"no image")
    register(folder)
    assert len(find_dataset("lab")) == 3


def test_there_must_be_such_a_test_case(eye):
    with pytest.raises(UserError, match=r"There is no case 'c3' in my-eye\. Did you mean 'c03'"):
        register(eye, test_cases=["c3"])


def test_a_new_split_by_hand_is_remembered_as_it_is(eye):
    plan = SplitPlan(train=["c03"], validation=["c02"], test=["c00", "c01"])
    save_splits("my-eye", find_dataset("my-eye"), plan)
    assert recall("my-eye").splits == {
        "c00": "test",
        "c01": "test",
        "c02": "validation",
        "c03": "train",
    }
    register(eye)
    remember_tests(find_dataset("my-eye"))
    assert len(recall("my-eye").pictures.samples) == 2
