from __future__ import annotations

import shutil

import pytest
from dataset_folders import write_card, write_folder

from transfer_kit.data.card import DatasetCard, SplitPlan
from transfer_kit.data.synthetic import ORGANS, make_dataset
from transfer_kit.errors import UserError
from transfer_kit.stores import datasets
from transfer_kit.stores.datasets import (
    add_dataset,
    find_dataset,
    list_datasets,
    register,
    save_splits,
)
from transfer_kit.stores.locations import shipped

FIELDS = {"name": "mine", "organ": "eye", "stain": "H&E", "mpp": 0.25, "licence": "private"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSFER_KIT_DATA", "")
    return tmp_path / "home"


@pytest.fixture
def bare(tmp_path):
    return write_folder(tmp_path / "bare", cases=4, per_case=1, card=False)


def test_every_shipped_card_is_valid_and_named_as_its_file():
    paths = sorted(shipped("datasets").glob("*.yaml"))
    assert len(paths) >= 15
    for path in paths:
        card = DatasetCard.read(path)
        assert card.name == path.stem
        assert card.licence
        assert card.source
        assert card.description


def test_a_folder_and_its_yaml_are_found(tmp_path):
    folder = write_folder(tmp_path / "tiny")
    assert len(find_dataset(str(folder))) == len(find_dataset(folder / "dataset.yaml")) == 10


def test_a_folder_in_the_working_folder_is_found_by_its_name_alone(tmp_path, monkeypatch):
    write_folder(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    assert find_dataset("tiny").name == "tiny"


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(
        UserError, match=r"no organ, dataset or folder 'brest'\. Did you mean 'breast'"
    ):
        find_dataset("brest")


def test_a_shipped_dataset_that_is_not_here_says_where_to_get_it():
    with pytest.raises(
        UserError,
        match=r"images of tnbc are not on this machine; download them from https://doi\.org/10\.5281"
        r"/zenodo\.1175282 into a folder tnbc and set TRANSFER_KIT_DATA",
    ):
        find_dataset("tnbc")


def test_an_added_folder_is_known_by_its_name_and_keeps_its_card(bare):
    path = add_dataset(bare, FIELDS)
    assert path == bare.resolve() / "dataset.yaml"
    assert find_dataset("mine").card == DatasetCard.read(path)
    assert "mine" in {stored.name for stored in list_datasets() if stored.origin == "added"}


def test_an_edited_card_counts(bare):
    add_dataset(bare, FIELDS)
    write_card(bare, **{**FIELDS, "mpp": 0.3})
    assert find_dataset("mine")[0].mpp == 0.3


def test_a_folder_that_has_a_card_is_registered_as_it_is(tmp_path):
    folder = write_folder(tmp_path / "tiny", name="given")
    register(folder)
    assert find_dataset("given").path == folder.resolve() / "dataset.yaml"


def test_the_card_of_a_read_only_folder_goes_into_the_store(bare, home):
    bare.chmod(0o555)  # root could write into it all the same, and must not
    path = add_dataset(bare, FIELDS)
    bare.chmod(0o755)
    assert path == home / "datasets" / "mine.yaml"
    assert not (bare / "dataset.yaml").exists()
    assert len(find_dataset("mine")) == len(find_dataset(str(bare))) == 4


def test_an_embedded_organs_name_is_taken(bare):
    with pytest.raises(
        UserError, match="breast is an embedded organ; choose another name with --name"
    ):
        add_dataset(bare, {**FIELDS, "name": "breast"})
    assert not (bare / "dataset.yaml").exists()


def test_a_name_that_was_added_is_taken_but_by_its_own_folder(bare, tmp_path):
    add_dataset(bare, FIELDS)
    other = write_folder(tmp_path / "other", cases=2, per_case=1, card=False)
    with pytest.raises(
        UserError, match=r"A dataset mine was added already .*; choose another --name"
    ):
        add_dataset(other, FIELDS)
    with pytest.raises(
        UserError, match=r"dataset\.yaml is there already; edit it, or .* --replace"
    ):
        add_dataset(bare, FIELDS)
    add_dataset(bare, {**FIELDS, "organ": "skin"}, replace=True)
    assert find_dataset("mine").card.organ == "skin"


def test_a_folder_that_is_gone_is_told(bare):
    add_dataset(bare, FIELDS)
    shutil.rmtree(bare)
    with pytest.raises(UserError, match=r"mine was added from .*bare, where it no longer is"):
        find_dataset("mine")
    assert "mine" not in {stored.name for stored in list_datasets()}


def test_splits_are_written_into_an_own_card(tmp_path):
    folder = write_folder(tmp_path / "tiny", cases=3)
    plan = SplitPlan(train=["c02"], validation=["c00"], test=["c01"])
    path = save_splits("tiny", find_dataset(str(folder)), plan)
    assert path == folder / "dataset.yaml"
    assert find_dataset(str(folder)).split("test").cases == ("c01",)


def test_splits_of_a_read_only_folder_go_into_the_store(tmp_path, home):
    folder = write_folder(tmp_path / "tiny", cases=3)
    before = (folder / "dataset.yaml").read_bytes()
    folder.chmod(0o555)
    plan = SplitPlan(train=["c02"], validation=["c00"], test=["c01"])
    path = save_splits("tiny", find_dataset(str(folder)), plan)
    folder.chmod(0o755)
    assert path == home / "datasets" / "tiny.yaml"
    assert (folder / "dataset.yaml").read_bytes() == before
    assert find_dataset("tiny").split("test").cases == ("c01",)


def tiny_organ(organ, folder, *, progress):
    write_folder(folder, cases=3, per_case=1, name=f"{organ}-synthetic", synthetic=True)
    progress(3, 3)


def test_an_embedded_organ_is_drawn_once_and_kept(monkeypatch, home):
    drawn = []

    def draw(organ, folder, *, progress):
        drawn.append(organ)
        tiny_organ(organ, folder, progress=progress)

    monkeypatch.setattr("transfer_kit.data.synthetic.make_dataset", draw)
    assert find_dataset("eye").card.synthetic
    assert find_dataset("eye-synthetic").root == find_dataset("eye").root
    assert drawn == ["eye"]
    assert [path.name[0] for path in (home / "cache" / "datasets").iterdir()] == ["e"]


@pytest.mark.parametrize("organ", ORGANS)
def test_what_an_embedded_organ_is_can_be_read_before_it_is_drawn(organ, tmp_path, home):
    stored = {each.name: each for each in list_datasets()}[organ]
    assert stored.root is None
    assert not home.exists()
    make_dataset(organ, tmp_path / organ, cases=3, size=96)
    drawn = DatasetCard.read(tmp_path / organ / "dataset.yaml")
    assert drawn.splits.lists
    assert stored.card == drawn.model_copy(update={"splits": SplitPlan()})


def test_the_dummy_images_are_of_no_stain_and_ki67_of_its_own():
    cards = {each.name: each.card for each in list_datasets() if each.origin == "embedded"}
    stains = {name: card.stain for name, card in cards.items()}
    assert (stains["algorithm1"], stains["breast"]) == ("none", "H&E")
    assert "Ki67" in stains.values()
    assert {card.licence for card in cards.values()} == {"CC0-1.0"}
    assert all(card.synthetic for card in cards.values())


def test_an_interrupted_drawing_leaves_nothing(monkeypatch, home):
    def interrupted(organ, folder, *, progress):
        (folder / "images").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr("transfer_kit.data.synthetic.make_dataset", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_dataset("eye")
    assert list((home / "cache" / "datasets").iterdir()) == []


def test_whoever_draws_first_wins(monkeypatch):
    def beaten(organ, folder, *, progress):
        tiny_organ(organ, datasets._embedded_folder(organ), progress=progress)
        tiny_organ(organ, folder, progress=progress)

    monkeypatch.setattr("transfer_kit.data.synthetic.make_dataset", beaten)
    assert len(find_dataset("eye")) == 3


def test_the_splits_of_an_embedded_organ_are_fixed(monkeypatch):
    monkeypatch.setattr("transfer_kit.data.synthetic.make_dataset", tiny_organ)
    with pytest.raises(
        UserError, match="is an embedded organ, whose splits are fixed; 'transfer-kit"
    ):
        save_splits("eye", find_dataset("eye"), SplitPlan())


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "images", "nuclei", "splits"),
    [
        ("monuseg-breast", 24, None, (4, 1, 1)),
        ("monuseg-kidney", 24, None, (3, 1, 2)),
        ("monuseg-prostate", 24, None, (3, 1, 2)),
        ("monuseg-liver", 24, None, (3, 1, 2)),
        ("monuseg-bladder", 8, None, (0, 0, 2)),
        ("monuseg-colon", 8, None, (0, 0, 2)),
        ("monuseg-stomach", 8, None, (0, 0, 2)),
        ("tnbc", 50, 4028, (7, 2, 2)),
        ("crchisto", 50, None, (30, 10, 10)),
        ("gbm40", 24, None, (10, 2, 12)),
        ("nucls", 15, None, (7, 3, 5)),
        ("dsb2018-histology", 60, None, (36, 12, 12)),
        ("ki67", 5, 2760, (1, 1, 1)),
        ("vgg-cells", 40, None, (24, 8, 8)),
    ],
)
def test_public_sets_are_read_with_the_published_numbers(
    name, images, nuclei, splits, real_data, monkeypatch
):
    monkeypatch.setenv("TRANSFER_KIT_DATA", str(real_data))
    dataset = find_dataset(name)
    assert len(dataset) == images
    assert all(sample.source for sample in dataset)
    counts = list(dataset.assignment.values())
    assert tuple(counts.count(part) for part in ("train", "validation", "test")) == splits
    if nuclei is not None:
        assert dataset.n_nuclei == nuclei


@pytest.mark.real_data
def test_splitting_a_shipped_dataset_writes_a_copy_of_its_card(real_data, monkeypatch, home):
    monkeypatch.setenv("TRANSFER_KIT_DATA", str(real_data))
    before = (shipped("datasets") / "monuseg-breast.yaml").read_bytes()
    dataset = find_dataset("monuseg-breast")
    plan = SplitPlan(
        train=list(dataset.cases[2:]), validation=[dataset.cases[0]], test=[dataset.cases[1]]
    )
    path = save_splits("monuseg-breast", dataset, plan)
    assert path == home / "datasets" / "monuseg-breast.yaml"
    assert find_dataset("monuseg-breast").split("test").cases == (dataset.cases[1],)
    assert (shipped("datasets") / "monuseg-breast.yaml").read_bytes() == before
