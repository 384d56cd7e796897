from __future__ import annotations

import pytest
from dataset_folders import draw_tissue, write_folder
from PIL import Image

from transfer_kit.data.dataset import Dataset
from transfer_kit.data.unlabelled import UnlabelledSample, bare_images, without_labels
from transfer_kit.errors import UserError

MPP = 0.5


def write_images(folder, *names):
    """Small images of tissue that say nothing of their scale."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_tissue(number, side=40, count=3)[0]).save(path)
    return folder


def test_without_labels_no_annotation_is_read_and_none_changes_the_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "home"))
    dataset = Dataset.open(write_folder(tmp_path / "lab", cases=2, per_case=1, side=48))
    assert len(dataset[0].annotation()) > 0
    bare = without_labels(dataset)
    before = bare.content_hash()
    assert before != dataset.content_hash()
    for file in (tmp_path / "lab" / "annotations").iterdir():
        file.write_text("this is no annotation")
    assert bare.content_hash() == before
    assert [len(sample.annotation()) for sample in bare] == [0, 0]
    with pytest.raises(UserError):
        dataset[0].annotation()
    assert [(s.id, s.case, s.mpp) for s in bare] == [(s.id, s.case, s.mpp) for s in dataset]
    assert (bare[0].image() == dataset[0].image()).all()


def test_a_tile_stays_a_tile_without_its_labels(tmp_path):
    dataset = Dataset.open(
        write_folder(tmp_path / "lab", cases=1, per_case=1, side=160, tile_px=80)
    )
    tile = UnlabelledSample.of(dataset[1])
    assert tile.window == dataset[1].window
    assert tile.image().shape == (80, 80, 3)


def test_each_image_of_a_bare_folder_is_a_case_but_a_patient_s_images_are_one(tmp_path):
    names = ("a.png", "deeper/b.png", "TCGA-AB-1234-01.png", "TCGA-AB-1234-02.png")
    found = bare_images(write_images(tmp_path / "new images", *names), stain="H&E", mpp=MPP)
    assert {sample.id: sample.case for sample in found} == {
        "a.png": "a.png",
        "deeper/b.png": "deeper/b.png",
        "TCGA-AB-1234-01.png": "TCGA-AB-1234",
        "TCGA-AB-1234-02.png": "TCGA-AB-1234",
    }
    assert found.name == "new-images"
    assert {sample.mpp for sample in found} == {MPP}


def test_masks_and_annotations_beside_bare_images_are_left_out(tmp_path):
    folder = write_images(tmp_path / "lab", "a.png", "a_mask.png", "masks/a.png")
    (folder / "a.csv").write_text("no table")
    found = bare_images(folder, stain="H&E", mpp=MPP)
    assert [sample.id for sample in found] == ["a.png"]
    assert len(found[0].annotation()) == 0


def test_the_scale_is_the_file_s_unless_one_is_given(tmp_path):
    folder = tmp_path / "lab"
    folder.mkdir()
    image = Image.fromarray(draw_tissue(0, side=40, count=3)[0])
    image.save(folder / "a.tif", resolution=20000, resolution_unit=3)  # 20 000 pixels a cm
    assert bare_images(folder, stain="H&E")[0].mpp == pytest.approx(0.5)
    assert bare_images(folder, stain="H&E", mpp=0.3)[0].mpp == 0.3


def test_a_folder_that_is_none_is_empty_or_tells_no_scale_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere is no folder of images; check the path\."):
        bare_images(tmp_path / "nowhere", stain="H&E")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no image \(\.bmp, "):
        bare_images(tmp_path / "empty", stain="H&E")
    with pytest.raises(UserError, match=r"a\.png does not say its scale; add --mpp with"):
        bare_images(write_images(tmp_path / "lab", "a.png"), stain="H&E")
