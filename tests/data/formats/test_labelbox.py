"""Labelbox JSON: layout, faults, and the published masks drawn from it."""

import json

import cv2
import numpy as np
import pytest

from transfer_kit.data.formats import FORMATS, AnnotationSource, ImageInfo, read_annotation
from transfer_kit.errors import UserError

SQUARE = [{"x": 0, "y": 0}, {"x": 4, "y": 0}, {"x": 4, "y": 4}, {"x": 0, "y": 4}]


def document(*corners, **label):
    label = label or {"Positive": [{"geometry": list(corners) or SQUARE}]}
    return [{"External ID": "a.jpg", "Label": label}]


def read(tmp_path, content, name="a.jpg"):
    path = tmp_path / "l.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    info = ImageInfo(name, tmp_path / name, 100, 100)
    return read_annotation(AnnotationSource("labelbox", (path,)), info)


def test_polygons_by_class(tmp_path):
    label = {"Positive": [{"geometry": SQUARE}], "Negative": [{"geometry": SQUARE}] * 2}
    read_ = read(tmp_path, document(**label))
    assert read_.classes == ("Positive", "Negative", "Negative")
    np.testing.assert_allclose(read_.points, [[2, 2]] * 3)


def test_an_image_is_found_by_stem_or_folder(tmp_path):
    assert len(read(tmp_path, document(), "a.png")) == 1
    assert len(read(tmp_path, document(), "a/original.jpg")) == 1
    with pytest.raises(UserError, match=r"has no entry for b\.jpg"):
        read(tmp_path, document(), "b.jpg")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (json.dumps(document())[:-20], "the file is cut short"),
        ("{}", "holds no list of images"),
        ("[3]", "entry 1 lacks 'External ID' or 'Label'"),
        (document(*SQUARE[:2]), r"l\.json, a\.jpg, Positive 1 has 2 corners, not 3"),
        (document(*SQUARE[:2], {"x": 1}), "Positive 1: None is no finite number"),
        (document(*SQUARE[:2], {"x": 1, "y": float("nan")}), "Positive 1: nan is no finite number"),
        (document(Positive=[{"polygon": 1}]), "Positive 1 has no list of corners"),
    ],
)
def test_faulty_files_name_the_polygon(tmp_path, content, says):
    with pytest.raises(UserError, match=says):
        read(tmp_path, content)


@pytest.mark.real_data
def test_the_published_masks_agree_without_a_shift(real_data):
    folder = real_data / "ki67"
    path = folder / "labelbox_points.json"
    assert FORMATS["labelbox"].recognises(path)
    assert not FORMATS["coco"].recognises(path)
    image = folder / "References" / "1329941 -B3-25" / "original.jpg"
    read_ = FORMATS["labelbox"].read((path,), ImageInfo.of(image))
    assert (read_.classes.count("Positive"), read_.classes.count("Negative")) == (40, 353)
    mask = cv2.imread(str(image.with_name("mask_positive.png")), cv2.IMREAD_UNCHANGED) > 0
    drawn = [o for o, name in zip(read_.outlines, read_.classes, strict=True) if name == "Positive"]
    different = {}
    for shift in (-3, 0, 3):
        filled = np.zeros(mask.shape, np.uint8)
        for outline in drawn:
            ring = np.rint(np.array(outline.exterior.coords) + shift).astype(np.int32)
            cv2.fillPoly(filled, [ring], 1)
        different[shift] = np.count_nonzero(mask != filled)
    assert min(different, key=different.get) == 0
    assert different[0] < 0.06 * mask.sum()
