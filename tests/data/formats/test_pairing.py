"""Which files are images, and which annotate which: layouts of published sets, and faults."""

import json

import numpy as np
import pytest
from PIL import Image

from transfer_kit.data.formats import (
    FORMATS,
    WRITER_SUFFIXES,
    WRITERS,
    AnnotationSource,
    ImageInfo,
    annotation_images,
    find_annotations,
    list_images,
    read_annotation,
)
from transfer_kit.data.formats.base import name_for
from transfer_kit.data.formats.instances import annotation_of_labels
from transfer_kit.errors import UserError


def picture(path, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (12, 10), 0 if mode == "L" else (200, 150, 190)).save(path)
    return path


def mask(path):
    labels = np.zeros((10, 12), np.uint8)
    labels[1:5, 1:5], labels[6:9, 6:9] = 1, 2
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)
    return path


def points(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x,y\n1,2\n")
    return path


LAYOUTS = [
    ("a.png", "a_label.png", "instances"),
    ("a.png", "a_mask.png", "instances"),
    ("a.jpg", "a.png", "instances"),
    ("images/a.png", "labels/a.png", "instances"),
    ("images/a.png", "images/annotations/a.csv", "csv"),
    ("train/images/a.png", "train/labels/a.csv", "csv"),
    ("images/a.png", "annotations/a.csv", "csv"),
    ("Slide_07/07_3.png", "GT_07/07_3.png", "instances"),
    ("x_crop.png", "x_labeled_mask_corrected.png", "instances"),
    ("a.tif", "a_manualcoord.txt", "csv"),
    ("a.tif", "a_points.csv", "csv"),
    ("a.tif", "a-points.csv", "csv"),
    ("a.tif", "a_nuclei.csv", "csv"),
    ("a.tif", "a_annotations.csv", "csv"),
    ("a.tif", "a.tif.csv", "csv"),
]


@pytest.mark.parametrize(("image", "annotation", "fmt"), LAYOUTS)
def test_layouts_of_folders_are_paired(tmp_path, image, annotation, fmt):
    picture(tmp_path / image)
    (mask if fmt == "instances" else points)(tmp_path / annotation)
    images = list_images(tmp_path)
    assert images == [tmp_path / image]
    assert annotation_images(tmp_path) == ([tmp_path / annotation] if fmt == "instances" else [])
    found = find_annotations(tmp_path, images)
    assert found == {tmp_path / image: AnnotationSource(fmt, (tmp_path / annotation,))}
    assert len(read_annotation(found[images[0]], ImageInfo.of(images[0]))) > 0


def test_dots_beside_cells(tmp_path):
    picture(tmp_path / "001cell.png")
    dots = np.zeros((10, 12, 3), np.uint8)
    dots[3, 4, 0] = dots[7, 8, 0] = 255
    Image.fromarray(dots).save(tmp_path / "001dots.png")
    (image,) = list_images(tmp_path)
    source = find_annotations(tmp_path, [image])[image]
    assert source == AnnotationSource("dots", (tmp_path / "001dots.png",))


def test_patterns_name_files_elsewhere(tmp_path):
    image = picture(tmp_path / "images" / "x[1].png")
    label = mask(tmp_path / "organs" / "Breast_x[1]_label.png")
    found = find_annotations(tmp_path, [image], pattern="organs/*_{stem}_label.png")
    assert found == {image: AnnotationSource("instances", (label,))}
    label = points(tmp_path / "images" / "sub" / "images.csv")
    for pattern in ("{parent}/sub/{folder}.csv", "images/sub/*.csv", "{parent}/sub/*.csv + none/*"):
        found = find_annotations(tmp_path, [image], pattern=pattern)
        assert found[image].paths == (label,)


def test_patterns_that_fit_nothing_or_are_no_patterns(tmp_path):
    image = picture(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"The pattern 'x/\{stem\}\.csv' fits no file in"):
        find_annotations(tmp_path, [image], pattern="x/{stem}.csv")
    for pattern in ("{case}.csv", "{stem", "{stem.x.y}"):
        with pytest.raises(UserError, match="is not understood at"):
            find_annotations(tmp_path, [image], pattern=pattern)


def test_one_coco_file_serves_many_images(tmp_path):
    images = [picture(tmp_path / "images" / f"{name}.png") for name in "ab"]
    other = picture(tmp_path / "images" / "c.png")
    own = points(tmp_path / "images" / "b.csv")
    coco = tmp_path / "annotations" / "instances_default.json"
    coco.parent.mkdir()
    entries = [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate("ab")]
    coco.write_text(json.dumps({"images": entries, "annotations": [], "categories": []}))
    found = find_annotations(tmp_path, [*images, other])
    assert found == {
        images[0]: AnnotationSource("coco", (coco,)),
        images[1]: AnnotationSource("csv", (own,)),
    }
    coco.write_text(coco.read_text()[:-5])
    with pytest.raises(UserError, match=r"instances_default\.json, line 1: the file is cut short"):
        find_annotations(tmp_path, [*images, other])


def test_two_annotations_of_an_image_are_not_guessed_between(tmp_path):
    image = picture(tmp_path / "a.png")
    points(tmp_path / "a.csv")
    mask(tmp_path / "a_label.png")
    with pytest.raises(UserError, match=r"a\.png has two annotations, .*a\.csv and .*a_label\.png"):
        find_annotations(tmp_path, [image])
    found = find_annotations(tmp_path, [image], format="instances")
    assert found[image].paths == (tmp_path / "a_label.png",)
    found = find_annotations(tmp_path, [image], pattern="{stem}.csv")
    assert found[image].format == "csv"


def test_a_file_of_no_known_format_is_named(tmp_path):
    image = picture(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text("<annotation><object/></annotation>")
    with pytest.raises(
        UserError, match=r"a\.xml has the name of an annotation of a\.png, but is in"
    ):
        find_annotations(tmp_path, [image])


def test_a_wrong_format_name_gets_the_nearest(tmp_path):
    with pytest.raises(
        UserError, match="Unknown annotation format 'geojsn'; did you mean 'geojson'"
    ):
        find_annotations(tmp_path, [], format="geojsn")
    with pytest.raises(UserError, match="Unknown annotation format 'cvs'; did you mean 'csv'"):
        read_annotation(AnnotationSource("cvs", ()), ImageInfo("a", tmp_path, 1, 1))


def test_images_without_annotation_are_absent(tmp_path):
    image = picture(tmp_path / "a.png")
    points(tmp_path / "b.csv")
    assert find_annotations(tmp_path, [image]) == {}


def test_predictions_in_another_folder_are_no_annotations(tmp_path):
    image = picture(tmp_path / "a.png")
    points(tmp_path / "out" / "a.csv")
    assert find_annotations(tmp_path, [image]) == {}


def test_hidden_files_and_missing_folders(tmp_path):
    picture(tmp_path / ".cache" / "a.png")
    assert list_images(tmp_path) == []
    with pytest.raises(UserError, match="none is no folder"):
        list_images(tmp_path / "none")


def test_recognising_never_raises_on_any_file(tmp_path):
    contents = [
        b"",
        b"\x00" * 50,
        b"{",
        b"[1]",
        b"<",
        b"\xff\xfe\x00",
        b"1 2",
        b"\x89PNG\r\n\x1a\n",
    ]
    suffixes = (".geojson", ".json", ".csv", ".txt", ".mat", ".xml", ".npy", ".png", ".tif", ".bmp")
    for suffix in suffixes:
        for k, content in enumerate(contents):
            path = tmp_path / f"{k}{suffix}"
            path.write_bytes(content)
            for fmt in FORMATS.values():
                assert fmt.recognises(path) in (True, False)
    for fmt in FORMATS.values():
        fmt.recognises(tmp_path / "missing.json")


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_what_a_writer_writes_is_found_and_read_again(tmp_path, name):
    image = picture(tmp_path / "a.png")
    labels = np.zeros((10, 12), np.int32)
    labels[1:5, 1:5], labels[6:9, 6:9] = 1, 2
    annotation = annotation_of_labels(labels, "x")
    WRITERS[name](tmp_path / f"a{WRITER_SUFFIXES[name]}", [(ImageInfo.of(image), annotation)])
    source = find_annotations(tmp_path, [image])[image]
    assert source.format == name
    back = read_annotation(source, ImageInfo.of(image))
    np.testing.assert_array_equal(back.points, annotation.points)


def test_formats_go_by_their_own_names():
    assert all(fmt.name == name and fmt.description for name, fmt in FORMATS.items())


def test_names_agree_by_the_longest_end_of_the_path(tmp_path):
    names = ["x/a.png", "y/a.png", "b.tif", "case 7.jpg"]
    assert name_for(tmp_path / "y" / "a.png", names) == "y/a.png"
    assert name_for(tmp_path / "b.png", names) == "b.tif"
    assert name_for(tmp_path / "case 7" / "original.jpg", names) == "case 7.jpg"
    assert name_for(tmp_path / "c.png", names) is None
    assert name_for(tmp_path / "c.png", []) is None


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "pattern", "fmt", "images", "nuclei"),
    [
        ("tnbc", None, "instances", 50, None),
        ("monuseg/images", "../labels/*_{stem}_label.png", "instances", 30, None),
        ("crchisto/Detection", None, "crchisto", 50, 15038),
        (
            "crchisto",
            "Detection/{folder}/{stem}_detection.mat + Classification/{folder}/{stem}_*.mat",
            "crchisto",
            50,
            15040,
        ),
        ("gbm40", "seed_annotation_xml/{stem}_data.xml", "iphotodraw", 24, None),
        ("nucls", None, "csv", 15, 584),
        ("dsb2018/fluorescence", None, "instances", 6, None),
        ("ki67", None, "labelbox", 5, None),
        ("vgg_cells", None, "dots", 40, None),
        ("cpm15", None, "cpm15", 10, None),
        ("monuseg/as_published", None, "aperio", 1, 314),
    ],
)
def test_published_sets_are_paired(real_data, folder, pattern, fmt, images, nuclei):
    root = real_data / folder
    listed = list_images(root)
    found = find_annotations(root, listed, pattern=pattern)
    assert len(found) == len(listed) == images
    assert {source.format for source in found.values()} == {fmt}
    if nuclei is not None:
        read_ = [read_annotation(source, ImageInfo.of(path)) for path, source in found.items()]
        assert sum(map(len, read_)) == nuclei
