"""TIFFs whose pages lead in a ring, or whose tags say what the pixels are not."""

from __future__ import annotations

import faulthandler
import struct

import numpy as np
import pytest
import tifffile

from transfer_kit.data.images import image_size, read_image, read_mpp
from transfer_kit.errors import UserError

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


@pytest.fixture
def ends_soon():
    """A hang would otherwise be the whole suite's."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def write_ring(path, image, *, pages, back_to):
    """The last of so many pages is followed by an earlier one."""
    with tifffile.TiffWriter(path) as file:
        for _ in range(pages):
            file.write(image, photometric="rgb" if image.ndim == 3 else None, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        places = [page.offset for page in tiff.pages]
    data = bytearray(path.read_bytes())
    (tags,) = struct.unpack_from("<H", data, places[-1])
    struct.pack_into("<I", data, places[-1] + 2 + 12 * tags, places[back_to])
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("pages", "back_to"), [(1, 0), (3, 1), (150, 0), (150, 120)])
def test_pages_that_lead_in_a_ring_end(tmp_path, ends_soon, pages, back_to):
    path = write_ring(tmp_path / "a.tif", RGB, pages=pages, back_to=back_to)
    np.testing.assert_array_equal(read_image(path), RGB)
    assert image_size(path) == (20, 30)
    assert read_mpp(path) is None


def test_grey_pages_in_a_ring_are_refused_as_others_are(tmp_path, ends_soon):
    path = write_ring(tmp_path / "a.tif", RGB[..., 0], pages=150, back_to=3)
    with pytest.raises(UserError, match=r"is grey \(one channel\), not RGB"):
        read_image(path)


@pytest.mark.parametrize("image", [RGB, RGB[..., 0]], ids=["rgb", "grey"])
@pytest.mark.parametrize(
    ("photometric", "said"),
    [
        (3, "points? into a palette that it has not"),
        (8, "CIELAB|grey"),
        (9, "ICCLAB|grey"),
        (5, "CMYK|grey"),
    ],
)
def test_colours_that_are_no_rgb_are_refused(tmp_path, image, photometric, said):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="rgb" if image.ndim == 3 else "minisblack")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags["PhotometricInterpretation"].overwrite(photometric)
    with pytest.raises(UserError, match=said):
        read_image(path)
