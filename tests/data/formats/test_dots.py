"""Dot images: marks, single pixels, and what is none."""

import numpy as np
import pytest
from PIL import Image

from transfer_kit.data.formats import FORMATS, AnnotationSource, ImageInfo, read_annotation
from transfer_kit.errors import UserError


def read(path, shape=(40, 50)):
    info = ImageInfo("a.png", path.parent / "a.png", *shape)
    return read_annotation(AnnotationSource("dots", (path,)), info)


def test_each_mark_is_a_nucleus_with_its_centroid(tmp_path):
    marks = np.zeros((40, 50, 3), np.uint8)
    marks[10:13, 20:23] = (255, 0, 0)
    marks[30:32, 5:7] = (0, 0, 255)
    Image.fromarray(marks).save(tmp_path / "adots.png")
    np.testing.assert_array_equal(read(tmp_path / "adots.png").points, [[21, 11], [5.5, 30.5]])


def test_touching_single_pixels_are_two_clicks(tmp_path):
    """Of .x..x the fourth pixel's neighbour below is a click of its own."""
    clicks = np.zeros((40, 50), np.uint8)
    clicks[3, 4] = clicks[3, 5] = clicks[9, 9] = clicks[20, 9] = clicks[30, 9] = 255
    Image.fromarray(clicks).save(tmp_path / "x.png")
    assert FORMATS["dots"].recognises(tmp_path / "x.png")
    assert len(read(tmp_path / "x.png")) == 5


def test_an_empty_dot_image_has_no_nuclei(tmp_path):
    Image.new("L", (50, 40)).save(tmp_path / "a_points.png")
    assert FORMATS["dots"].recognises(tmp_path / "a_points.png")
    assert len(read(tmp_path / "a_points.png")) == 0


def test_masks_are_no_dots(tmp_path):
    mask = np.zeros((40, 50), np.uint8)
    mask[5:25, 5:25] = 1
    Image.fromarray(mask).save(tmp_path / "x.png")
    assert not FORMATS["dots"].recognises(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"x\.png has a mark of 400 pixels, too large for a dot"):
        read(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"is 50 x 40 pixels, but a\.png is 9 x 8"):
        read(tmp_path / "x.png", (8, 9))


@pytest.mark.real_data
def test_the_vgg_set_counts_its_pixels(real_data):
    for path in sorted((real_data / "vgg_cells").glob("*dots.png"))[:5]:
        info = ImageInfo.of(path.with_name(path.name.replace("dots", "cell")))
        red = np.asarray(Image.open(path))[..., 0] > 0
        read_ = FORMATS["dots"].read((path,), info)
        assert len(read_) == red.sum()
        x, y = read_.points.astype(int).T
        assert red[y, x].all()
