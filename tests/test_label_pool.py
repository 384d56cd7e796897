from __future__ import annotations

import pytest
from dataset_folders import write_folder
from laboratory import TARGET
from shapely.geometry import box

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import write_geojson
from transfer_kit.errors import UserError
from transfer_kit.label_pool import label_pool
from transfer_kit.stores.datasets import find_dataset, register

pytest_plugins = ["lab_fixtures"]


def ids(samples):
    return [sample.id for sample in samples]


@pytest.fixture
def bare(tmp_path, lab):
    """Four images in a folder that is no dataset, two of them annotated."""
    folder = write_folder(tmp_path / "bare", cases=2, per_case=2, side=60, card=False)
    for name in ("c00_1", "c01_1"):
        (folder / "annotations" / f"{name}.csv").unlink()
    return folder


def test_images_of_a_folder_need_no_card_and_annotated_ones_are_labelled(bare):
    pool = label_pool(str(bare), mpp=0.25)
    assert ids(pool.unlabelled) == ["c00_1", "c01_1"]
    assert ids(pool.labelled) == ["c00_0", "c01_0"]
    assert {sample.mpp for sample in pool.unlabelled} == {0.25}
    assert pool.n_test == 0


def test_a_folder_without_any_annotation_is_all_unlabelled(bare):
    for path in (bare / "annotations").iterdir():
        path.unlink()
    assert len(label_pool(str(bare), mpp=0.5).unlabelled) == 4


def test_an_image_with_a_labelled_region_is_labelled_and_one_with_weak_labels_alone_is_not(bare):
    for name, fields in (
        ("c00_1", {"labelled_regions": (box(2, 2, 30, 30),)}),
        ("c01_1", {"region_labels": (("tumour", box(2, 2, 30, 30)),)}),
    ):
        annotation = Annotation([], (), **fields)
        write_geojson(bare / "annotations" / f"{name}.geojson", annotation)
    pool = label_pool(str(bare), mpp=0.25)
    assert ids(pool.unlabelled) == ["c01_1"]
    assert "c00_1" in ids(pool.labelled)


def test_test_cases_of_a_dataset_are_left_out_whether_labelled_or_not(lab):
    target = find_dataset(TARGET)
    test = target.split("test").samples
    free = target.split("train").samples[0]
    for sample in (free, test[0]):
        (path,) = sample.source.paths
        path.unlink()
    for images in (TARGET, f"./{TARGET}", str(lab / TARGET / "dataset.yaml")):
        pool = label_pool(images)
        assert ids(pool.unlabelled) == [free.id]
        assert not {sample.case for sample in (*pool.labelled, *pool.unlabelled)} & {
            sample.case for sample in test
        }
        assert pool.n_test == len(test)
        assert len(pool.labelled) + pool.n_test + 1 == len(target)


def test_a_dataset_goes_by_its_name(lab):
    register(lab / TARGET)
    sample = find_dataset(TARGET).split("train").samples[0]
    sample.source.paths[0].unlink()
    assert ids(label_pool(TARGET).unlabelled) == [sample.id]


@pytest.mark.parametrize(
    ("images", "mpp", "message"),
    [
        ("nowhere", None, "There is no organ, dataset or folder 'nowhere'"),
        ("./nowhere", None, "There is no dataset at nowhere; check the path"),
        ("home", None, r"home holds no image \(\.bmp"),
        (TARGET, 0.5, "says its µm per pixel in dataset.yaml; leave out --mpp"),
        (TARGET, None, r"All 12 images of .* are labelled already \(and 4 images are of test"),
    ],
)
def test_what_is_no_pool_is_told_in_a_sentence(lab, images, mpp, message):
    (lab / "home").mkdir(exist_ok=True)
    with pytest.raises(UserError, match=message):
        label_pool(images, mpp=mpp)


def test_a_card_that_hides_images_without_labels_is_named(lab):
    card = lab / TARGET / "dataset.yaml"
    card.write_text(f"{card.read_text()}only_annotated: true\n")
    with pytest.raises(UserError, match=r"set 'only_annotated: false' in its dataset\.yaml"):
        label_pool(f"./{TARGET}")


def test_images_that_do_not_tell_their_scale_are_asked_for_it(bare):
    with pytest.raises(UserError, match=r"c00_0\.png does not say its scale; add --mpp"):
        label_pool(str(bare))
