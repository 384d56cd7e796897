"""CPM-15 text masks: layout, faults by line, masks that were exchanged."""

import numpy as np
import pytest
from PIL import Image

from transfer_kit.data.formats import FORMATS, AnnotationSource, ImageInfo, read_annotation
from transfer_kit.errors import UserError


def read(tmp_path, text, size=(2, 3)):
    path = tmp_path / "a_mask.txt"
    path.write_text(text)
    info = ImageInfo("a.png", tmp_path / "a.png", *size)
    return read_annotation(AnnotationSource("cpm15", (path,)), info)


def test_width_comes_first_and_labels_go_row_by_row(tmp_path):
    """3 2          is   0 7 7
       0 7 7 9 0 0       9 0 0
    """  # fmt: skip
    read_ = read(tmp_path, "3 2\n0\n7\n7\n9\n0\n0\n")
    np.testing.assert_array_equal(read_.instances, [[0, 1, 1], [2, 0, 0]])
    np.testing.assert_array_equal(read_.points, [[1.5, 0], [0, 1]])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3 2\n0\n7\n", r"a_mask\.txt, line 3: the file is cut short, with 2 labels for 3 x 2"),
        ("3 2\n" + "0\n" * 7, r"line 8: the file has lines too many, with 7 labels"),
        ("3 2\n0\nx\n0\n0\n0\n0\n", r"line 3: 'x' is no label"),
        ("3 2\n0\n0\n-1\n0\n0\n0\n", r"line 4: '-1' is no label"),
        ("3 2\n0\n0\n1.5\n0\n0\n0\n", r"line 4: '1\.5' is no label"),
        ("3 2\n0\n0\n0\n0\n99999999999999999999\n0\n", "line 6: .* is no label"),
        ("-3 2\n0\n", r"line 1: '-3 2' is no size"),
        ("0 2\n", r"line 1: '0 2' is no size"),
        ("words\n", r"line 1: 'words' is no size"),
        ("", r"a_mask\.txt is empty"),
    ],
)
def test_faults_name_the_line(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        read(tmp_path, text)


def test_an_exchanged_mask_names_the_image_that_it_fits(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "other.png")
    with pytest.raises(
        UserError,
        match=r"is 3 x 2 pixels, but a\.png is 8 x 9; it fits other\.png: the two masks seem exch",
    ):
        read(tmp_path, "3 2\n" + "0\n" * 6, size=(9, 8))


@pytest.mark.real_data
def test_the_published_masks_of_04_and_05_are_exchanged(real_data):
    folder = real_data / "cpm15"
    fmt = FORMATS["cpm15"]
    for number, other in (("04", "05"), ("05", "04")):
        path = folder / f"image{number}_mask.txt"
        assert fmt.recognises(path)
        assert not FORMATS["csv"].recognises(path)
        with pytest.raises(UserError, match=rf"fits image{other}\.png: the two masks seem"):
            fmt.read((path,), ImageInfo.of(folder / f"image{number}.png"))
        assert len(fmt.read((path,), ImageInfo.of(folder / f"image{other}.png"))) > 50
    words = (folder / "image01_mask.txt").read_text().split()
    read_ = fmt.read((folder / "image01_mask.txt",), ImageInfo.of(folder / "image01.png"))
    assert len(read_) == len(set(words[2:]) - {"0"})
