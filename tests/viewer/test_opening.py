from __future__ import annotations

import shutil

import numpy as np
import pytest
from dataset_folders import write_card, write_folder
from PIL import Image
from viewer.array_slide import smooth_pixels

from transfer_kit import __version__
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import ImageInfo, write_csv, write_geojson
from transfer_kit.data.synthetic import make_dataset
from transfer_kit.errors import UserError
from transfer_kit.viewer.opening import open_places


def by_name(opened):
    return {image.name: image for image in opened.images}


def draw(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(smooth_pixels(40, 50)).save(path)
    return path


def test_a_folder_of_images_is_labelled_where_data_add_looks(folder):
    images = by_name(open_places([str(folder)]))
    assert list(images) == ["a.png", "b.png"]
    place = folder / "annotations"
    assert [image.labels.path for image in images.values()] == [
        place / "a.geojson",
        place / "b.geojson",
    ]
    assert all(image.labels.read_only == "" for image in images.values())


def test_labels_lie_beside_images_that_lie_alone(tmp_path):
    draw(tmp_path / "a.png")
    (image,) = open_places([str(tmp_path / "a.png")]).images
    assert image.labels.path == tmp_path / "a.geojson"
    (tmp_path / "annotations").mkdir()
    (image,) = open_places([str(tmp_path / "a.png")]).images
    assert image.labels.path == tmp_path / "annotations" / "a.geojson"


def test_images_that_differ_in_their_suffix_alone_have_labels_of_their_own(tmp_path):
    for name in ("a.png", "a.tif"):
        draw(tmp_path / "images" / name)
    opened = open_places([str(tmp_path)])
    names = [image.labels.path.name for image in opened.images]
    assert names == ["a.png.geojson", "a.tif.geojson"]


def test_geojson_that_is_there_is_the_one_that_is_saved(tmp_path):
    draw(tmp_path / "a.png")
    path = tmp_path / "labels" / "a_annotation.geojson"
    write_geojson(path, Annotation.of_points([[1, 2]]))
    (image,) = open_places([str(tmp_path)]).images
    assert image.labels.path == path
    assert image.labels.source is None
    assert image.note == ""


def test_labels_in_another_format_are_read_kept_and_told(tmp_path):
    path = draw(tmp_path / "images" / "a.png")
    write_csv(tmp_path / "annotations" / "a.csv", Annotation.of_points([[1, 2], [3, 4]]))
    (image,) = open_places([str(tmp_path)]).images
    assert image.note.startswith("a.csv stays as it is; what you change is kept in a.geojson")
    assert len(image.labels.read(ImageInfo.of(path))) == 2
    write_geojson(tmp_path / "annotations" / "a.geojson", Annotation.of_points([[1, 2]]))
    (image,) = open_places([str(tmp_path)]).images
    assert len(image.labels.read(ImageInfo.of(path))) == 1


def test_a_dataset_gives_ids_scale_classes_and_where_its_card_says_labels_are(tmp_path):
    write_folder(tmp_path / "lab", cases=3, per_case=1, card=False)
    shutil.rmtree(tmp_path / "lab" / "annotations")
    fields = {"annotations": "truth/{stem}_nuclei.geojson", "classes": ["tumour"], "mpp": 0.5}
    write_geojson(
        tmp_path / "lab" / "truth" / "c00_0_nuclei.geojson", Annotation.of_points([[1, 2]])
    )
    write_card(tmp_path / "lab", **fields)
    opened = open_places([str(tmp_path / "lab")])
    assert opened.title == "tiny"
    assert opened.classes == ("tumour",)
    images = by_name(opened)
    assert list(images) == ["c00_0", "c01_0", "c02_0"]
    assert images["c01_0"].labels.path == tmp_path / "lab" / "truth" / "c01_0_nuclei.geojson"
    assert images["c00_0"].mpp == 0.5


def test_tiles_of_one_image_are_shown_as_the_whole(tmp_path):
    write_folder(tmp_path / "lab", cases=3, per_case=1, tile_px=100)
    opened = open_places([str(tmp_path / "lab")])
    assert [image.name for image in opened.images] == ["c00_0", "c01_0", "c02_0"]


def test_an_embedded_organ_is_shown_but_not_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path))
    make_dataset("eye", tmp_path / "cache/datasets" / f"eye-{__version__}", cases=3, size=96)
    opened = open_places(["eye"])
    assert len(opened.images) == 3
    told = opened.images[0].labels.read_only
    assert "comes with the kit" in told
    assert "transfer-kit data convert eye-synthetic --format geojson -o FOLDER" in told


def test_truth_is_taken_from_a_dataset_a_folder_or_a_file(folder, tmp_path):
    truth = tmp_path / "truth"
    write_geojson(truth / "a.geojson", Annotation.of_points([[1, 2]]))
    (image, other) = open_places([str(folder)], truth=str(truth)).images
    assert image.truth.source.paths == (truth / "a.geojson",)
    assert other.truth is None
    (image,) = open_places(
        [str(folder / "images" / "a.png")], truth=str(truth / "a.geojson")
    ).images
    assert image.truth.source.format == "geojson"
    write_folder(tmp_path / "set", cases=3, per_case=1)
    draw(tmp_path / "else" / "c01_0.tif")
    (image,) = open_places([str(tmp_path / "else")], truth=str(tmp_path / "set")).images
    assert image.truth.source.paths == (tmp_path / "set" / "annotations" / "c01_0.csv",)


def test_two_places_are_one_list_in_which_names_differ(folder, tmp_path):
    draw(tmp_path / "other" / "images" / "a.png")
    places = [str(folder), str(tmp_path / "other"), str(folder / "images" / "b.png")]
    names = [image.name for image in open_places(places).images]
    twice = [str(place / "images" / "a.png") for place in (folder, tmp_path / "other")]
    assert names == [twice[0], "b.png", twice[1]]


def test_labels_of_slides_may_be_kept_in_a_dataset_to_be(folder, tmp_path):
    opened = open_places([str(folder)], label=tmp_path / "set", mpp=0.3)
    assert opened.cut_into == tmp_path / "set"
    assert [image.labels.path.parent for image in opened.images] == [
        tmp_path / "set" / "slides"
    ] * 2
    assert {image.mpp for image in opened.images} == {0.3}
    assert not (tmp_path / "set").exists()


def test_one_image_with_two_annotations_does_not_hide_the_others(folder):
    write_csv(folder / "annotations" / "b.csv", Annotation.of_points([[1, 2]]))
    images = by_name(open_places([str(folder)]))
    assert images["b.png"].labels.path == folder / "annotations" / "b.geojson"
    write_csv(folder / "annotations" / "a.csv", Annotation.of_points([[1, 2]]))
    np.save(folder / "annotations" / "a_mask.npy", np.zeros((300, 400), np.int32))
    told = by_name(open_places([str(folder)]))["a.png"].note
    assert "has two annotations" in told


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere", "nowhere is no slide, image or folder here"),
        ("empty", "holds no image or slide"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, monkeypatch, place, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=words):
        open_places([place])
