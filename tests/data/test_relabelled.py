from __future__ import annotations

from dataset_folders import write_folder

from transfer_kit.data.dataset import Dataset
from transfer_kit.data.relabelled import relabelled


def named(tmp_path, *names):
    folder = write_folder(tmp_path / "x", cases=3, per_case=1, side=64, classes=list(names))
    rows = "".join(f"{9 + 12 * n},20,{name}\n" for n, name in enumerate(names))
    for path in (folder / "annotations").iterdir():
        path.write_text(f"x,y,class\n{rows}")
    return Dataset.open(folder)


def test_names_change_by_the_table_and_others_stay(tmp_path):
    dataset = named(tmp_path, "tumor_any", "sTIL", "other")
    ours = relabelled(dataset, {"tumor_any": "tumour", "other": ""})
    assert ours[0].annotation().classes == ("tumour", "sTIL", "")
    assert dataset[0].annotation().classes == ("tumor_any", "sTIL", "other")
    assert ours.card.classes == ["tumour", "sTIL"]


def test_all_else_is_the_dataset_s(tmp_path):
    dataset = named(tmp_path, "a")
    ours = relabelled(dataset, {"a": "b"})
    assert [sample.id for sample in ours] == [sample.id for sample in dataset]
    assert (ours[0].image() == dataset[0].image()).all()
    assert (ours[0].annotation().points == dataset[0].annotation().points).all()
    assert ours.content_hash() == dataset.content_hash()
    assert [ours.split_of(s) for s in ours] == [dataset.split_of(s) for s in dataset]


def test_names_may_be_exchanged(tmp_path):
    ours = relabelled(named(tmp_path, "a", "b"), {"a": "b", "b": "a"})
    assert ours[0].annotation().classes == ("b", "a")


def test_a_part_of_it_knows_its_samples_again(tmp_path):
    ours = relabelled(named(tmp_path, "a"), {"a": "b"})
    assert set(ours.subset("2", 0)) < set(ours)


def test_an_empty_table_changes_nothing(tmp_path):
    dataset = named(tmp_path, "a")
    assert relabelled(dataset, {}) is dataset
