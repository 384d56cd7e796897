from __future__ import annotations

import itertools
import json
import os
import pickle

import numpy as np
import pytest
from dataset_folders import draw_tissue, write_card, write_csv, write_folder
from PIL import Image

from transfer_kit.data.card import DatasetCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "home"))
    return write_folder(tmp_path / "tiny", cases=6, per_case=2)


def test_a_folder_is_opened_with_its_images_cases_and_annotations(folder):
    dataset = Dataset.open(folder)
    assert [sample.id for sample in dataset] == [
        f"c{c:02d}_{k}" for c in range(6) for k in range(2)
    ]
    assert dataset.cases == tuple(f"c{c:02d}" for c in range(6))
    image, points = draw_tissue([0, 0, 0])
    assert np.array_equal(dataset[0].image(), image)
    assert np.allclose(dataset[0].annotation().points, points, atol=0.006)
    assert dataset[0].size == (200, 200)
    assert dataset[0].mpp == 0.25
    assert dataset.n_nuclei == sum(
        len(draw_tissue([0, c, k])[1]) for c in range(6) for k in range(2)
    )


def test_the_yaml_opens_the_same_dataset(folder):
    assert Dataset.open(folder / "dataset.yaml").samples == Dataset.open(folder).samples


def test_samples_travel_to_other_processes(folder):
    sample = Dataset.open(folder)[0]
    assert pickle.loads(pickle.dumps(sample)) == sample


def test_splits_share_no_case_and_hold_every_image(folder):
    dataset = Dataset.open(folder)
    parts = [dataset.split(name) for name in ("train", "validation", "test")]
    assert [len(part.cases) for part in parts] == [4, 1, 1]
    assert sorted(s.id for part in parts for s in part) == [s.id for s in dataset]
    cases = [case for part in parts for case in part.cases]
    assert len(cases) == len(set(cases))


def test_a_split_of_a_part_is_the_same_as_a_part_of_the_split(folder):
    dataset = Dataset.open(folder)
    few = dataset.subset("4 cases", seed=0)
    for sample in few:
        assert few.split_of(sample) == dataset.split_of(sample)


def test_too_few_cases_for_a_validation_are_told_with_the_mend(folder, tmp_path):
    dataset = Dataset.open(write_folder(tmp_path / "two", cases=2, name="two"))
    with pytest.raises(
        UserError,
        match=r"two has no validation case \(2 cases in all\); add cases, or choose them with "
        r"'transfer-kit data split two --validation-case",
    ):
        dataset.split("validation")


def test_an_unknown_split_names_the_nearest(folder):
    with pytest.raises(UserError, match=r"There is no split 'tests'\. Did you mean 'test'"):
        Dataset.open(folder).split("tests")


@pytest.mark.parametrize("unit", ["", " cases"])
def test_smaller_subsets_lie_inside_larger_ones(folder, unit):
    dataset = Dataset.open(folder)
    chain = [{s.id for s in dataset.subset(f"{p}%{unit}", seed=3)} for p in (10, 20, 50, 80, 100)]
    for small, large in itertools.pairwise(chain):
        assert small <= large
    assert len(chain[-1]) == len(dataset)


def test_a_subset_by_cases_has_whole_cases(folder):
    few = Dataset.open(folder).subset("3 cases", seed=1)
    assert len(few.cases) == 3
    assert len(few) == 6


def test_a_subset_by_images_has_that_many(folder):
    dataset = Dataset.open(folder)
    assert len(dataset.subset("5", seed=1)) == len(dataset.subset(5, seed=1)) == 5
    assert [s.id for s in dataset.subset("5", 1)] != [s.id for s in dataset.subset("5", 2)]


@pytest.mark.parametrize("by", ["case", "image"])
def test_every_image_is_tested_in_exactly_one_fold(folder, by):
    dataset = Dataset.open(folder)
    folds = dataset.folds(3, seed=0, by=by)
    assert sorted(s.id for fold in folds for s in fold.test) == [s.id for s in dataset]
    for fold in folds:
        assert sorted(s.id for s in (*fold.train, *fold.test)) == [s.id for s in dataset]
        if by == "case":
            assert not set(fold.train.cases) & set(fold.test.cases)


def test_the_hash_changes_with_an_image_or_annotation_and_with_nothing_else(folder):
    before = Dataset.open(folder).content_hash()
    assert Dataset.open(folder).content_hash() == before
    write_card(folder, case_pattern=r"(c\d+)_", description="another text")
    assert Dataset.open(folder).content_hash() == before
    write_csv(folder / "annotations" / "c00_0.csv", [(5, 6)])
    after = Dataset.open(folder).content_hash()
    assert after != before
    Image.fromarray(draw_tissue(99)[0]).save(folder / "images" / "c00_1.png")
    assert Dataset.open(folder).content_hash() not in (before, after)


def test_the_hash_reads_no_unchanged_file_twice(folder, tmp_path):
    before = Dataset.open(folder).content_hash()
    (store,) = (tmp_path / "home" / "cache" / "digests").iterdir()
    known = json.loads(store.read_text())
    path = str(folder / "images" / "c00_0.png")
    known[path][2] = "0" * 64
    store.write_text(json.dumps(known))
    assert Dataset.open(folder).content_hash() != before  # the stored digest was believed
    os.utime(path)
    assert Dataset.open(folder).content_hash() == before


def test_a_folder_without_yaml_says_what_to_type(folder):
    (folder / "dataset.yaml").unlink()
    with pytest.raises(
        UserError, match=r"has no dataset\.yaml, and its organ, stain, licence, mpp"
    ):
        Dataset.open(folder)
    with pytest.raises(UserError, match=r"run 'transfer-kit data add .* --organ … --stain"):
        Dataset.open(folder)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(UserError, match=r"There is no dataset at .*nowhere; check the path"):
        Dataset.open(tmp_path / "nowhere")


def test_a_folder_without_images_is_told(tmp_path):
    write_card(tmp_path)
    with pytest.raises(
        UserError, match=r"has no image; check the folder, or 'images' in dataset\.yaml"
    ):
        Dataset.open(tmp_path)


def test_a_case_pattern_that_misses_an_image_is_told(folder):
    write_card(folder, case_pattern=r"(patient\d+)")
    with pytest.raises(UserError, match=r"c00_0\.png has no case: .* matches nothing in it; mend"):
        Dataset.open(folder)


def test_without_a_case_pattern_each_image_is_a_case(folder):
    write_card(folder)
    dataset = Dataset.open(folder)
    assert dataset.cases == tuple(sample.id for sample in dataset)


def test_an_image_without_scale_is_told(folder):
    write_card(folder, mpp=None, mpp_by_image={"c00_*": 0.5})
    with pytest.raises(UserError, match=r"c01_0\.png of tiny has no µm per pixel; add 'mpp:'"):
        Dataset.open(folder)


def test_an_image_without_annotation_is_told_when_it_is_read(folder):
    (folder / "annotations" / "c00_0.csv").unlink()
    sample = Dataset.open(folder)[0]
    with pytest.raises(UserError, match=r"c00_0\.png has no annotation; add one, or leave"):
        sample.annotation()


def test_images_without_annotation_are_left_out_where_the_card_says_so(folder):
    (folder / "annotations" / "c00_0.csv").unlink()
    write_card(folder, case_pattern=r"(c\d+)_", only_annotated=True)
    assert "c00_0" not in [sample.id for sample in Dataset.open(folder)]


def test_a_crosswalk_picks_images_and_names_their_patients(tmp_path):
    for name in ("1", "2", "3", "11"):
        image, _ = draw_tissue([7, int(name)])
        labels = np.zeros(image.shape[:2], np.uint16)
        labels[40:60, 50:70] = int(name)
        Image.fromarray(image).save(tmp_path / f"{name}_crop.png")
        Image.fromarray(labels).save(tmp_path / f"{name}_labeled_mask_corrected.png")
    (tmp_path / "patches_to_TCGA-ID_readme.txt").write_text(
        "Crosswalk of the patches, with a comma or two\n\nPatch-ID,CancerType,WSI-ID\n"
        "1,uvm,TCGA-V4-A9E5-01Z\n2,brca,TCGA-A7-A13E-01Z\n3,UVM,TCGA-V4-A9E5-01Z\n"
        "11,uvm,TCGA-WC-A87T-01Z\n"
    )
    fields = {
        "name": "uvm",
        "organ": "eye",
        "stain": "H&E",
        "mpp": 0.25,
        "licence": "CC BY 3.0",
        "case_pattern": r"(TCGA-\w{2}-\w{4})",
        "images": "**/*_crop.png",
        "crosswalk": {
            "files": ["*crosswalk*", "*TCGA-ID*"],
            "column": "Patch-ID",
            "image_pattern": r"(\d+)_crop\.png$",
            "keep": {"CancerType": "uvm"},
        },
    }
    dataset = Dataset.of_card(DatasetCard.of_fields(fields), tmp_path)
    assert [sample.id for sample in dataset] == ["11_crop", "1_crop", "3_crop"]
    assert [sample.case for sample in dataset] == ["TCGA-WC-A87T", "TCGA-V4-A9E5", "TCGA-V4-A9E5"]
    assert np.allclose(dataset[0].annotation().points, [[59.5, 49.5]])


def test_a_crosswalk_without_its_columns_is_told(folder):
    (folder / "table.csv").write_text("a,b\n1,2\n")
    write_card(folder, crosswalk={"files": ["table.csv"], "column": "Patch-ID"})
    with pytest.raises(UserError, match=r"table\.csv has no line with the column names Patch-ID"):
        Dataset.open(folder)
