"""Tiles of a TIFF whose own header promises more than the tile, in a file that is read whole."""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from transfer_kit.data.formats.instances import read_labels
from transfer_kit.data.images import read_image
from transfer_kit.data.tiff_pieces import piece_size
from transfer_kit.errors import UserError

RGB = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
FRAME = {"jpeg": b"\xff\xc0", "jpeg2000": b"\xff\x51"}


def promise(path, compression, side):
    """Write another width and height into the header of the first tile."""
    data = bytearray(path.read_bytes())
    at = data.index(FRAME[compression])
    if compression == "jpeg":
        struct.pack_into(">HH", data, at + 5, side, side)
    else:
        struct.pack_into(">II", data, at + 6, side, side)
    path.write_bytes(data)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000"])
@pytest.mark.parametrize(
    ("side", "said"), [(60000, "promises a vast number"), (300, "of 16 × 16 holds 300 × 300")]
)
def test_an_image_is_refused_before_memory_is_made(tmp_path, compression, side, said):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", tile=(16, 16), compression=compression)
    assert read_image(path).shape == RGB.shape
    promise(path, compression, side)
    with pytest.raises(UserError, match=rf"a\.tif is damaged .*a tile {said}.*copy it again"):
        read_image(path)


def test_a_label_image_is_refused_too(tmp_path):
    path = tmp_path / "a.tif"
    labels = np.zeros((32, 32), np.uint16)
    labels[4:9, 4:9] = 300
    tifffile.imwrite(path, labels, compression="jpeg2000")
    np.testing.assert_array_equal(read_labels(path), labels)
    promise(path, "jpeg2000", 60000)
    with pytest.raises(UserError, match=r"a\.tif is damaged .*promises a vast number"):
        read_labels(path)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000"])
def test_an_image_in_one_strip_may_be_larger_than_pillow_allows(tmp_path, monkeypatch, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", rowsperstrip=40, compression=compression)
    expected = read_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(read_image(path), expected)


def test_tiles_of_more_bits_are_read_as_before(tmp_path):
    deep = RGB.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", compression="jpeg2000")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), RGB)


@pytest.mark.parametrize(
    ("options", "size"),
    [({"tile": (16, 32)}, (16, 32)), ({"rowsperstrip": 7}, (7, 50)), ({}, (40, 50))],
)
def test_the_size_of_a_piece_is_that_of_tiles_or_strips(tmp_path, options, size):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert piece_size(tiff.pages.first) == size
