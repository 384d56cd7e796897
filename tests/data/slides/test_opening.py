"""Opening by content, plain images, and whatever is no slide."""

import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from data.slides.made_slides import (
    folder_of_slides,
    picture,
    pyramid,
    whole,
    write_ome_tiff,
    write_plain_ngff,
    write_tiff,
    write_vms,
)
from PIL import Image

from transfer_kit.data.images import read_image, read_mpp
from transfer_kit.data.slides import open_slide
from transfer_kit.errors import UserError

RGB = picture(61, 83)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_a_plain_image_is_what_read_image_gives(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(RGB).save(path, dpi=(50800, 50800))
    with open_slide(path) as slide:
        assert slide.size == RGB.shape[:2]
        assert len(slide.levels) == 1
        assert slide.levels[0].downsample == 1
        assert slide.mpp == read_mpp(path)
        np.testing.assert_array_equal(whole(slide), read_image(path))
        np.testing.assert_array_equal(slide.read(0, 5, 7, 20, 30), read_image(path)[7:37, 5:25])


def test_images_that_read_image_alone_understands_are_the_same(tmp_path):
    rgba = np.concatenate([RGB, np.full((*RGB.shape[:2], 1), 9, np.uint8)], axis=-1)
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    Image.fromarray(RGB).quantize(16).save(tmp_path / "palette.png")
    tifffile.imwrite(tmp_path / "deep.tif", RGB.astype(np.uint16) * 257, photometric="rgb")
    tifffile.imwrite(
        tmp_path / "tiled.tif", RGB.astype(np.uint16) * 257, photometric="rgb", tile=(32, 32)
    )
    for path in sorted(tmp_path.iterdir()):
        with open_slide(path) as slide:
            np.testing.assert_array_equal(whole(slide), read_image(path), err_msg=path.name)


def test_the_content_tells_and_not_the_name(tmp_path):
    levels = pyramid(picture(200, 300))
    cases = {
        "a.jpg": write_tiff(tmp_path / "1.tif", levels),
        "b.scn": write_ome_tiff(tmp_path / "2.tif", levels),
    }
    Image.fromarray(RGB).save(tmp_path / "3.png")
    for name, path in cases.items():
        path.rename(tmp_path / name)
        assert len(open_slide(tmp_path / name).levels) == 3
    (tmp_path / "3.png").rename(tmp_path / "c.svs")
    np.testing.assert_array_equal(whole(open_slide(tmp_path / "c.svs")), RGB)


def test_what_is_no_slide_is_told_in_a_sentence(tmp_path):
    (tmp_path / "empty.svs").touch()
    (tmp_path / "text.svs").write_text("not a slide")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("x")
    said = {
        "missing.svs": r"missing\.svs cannot be read \(No such file or directory\); check the path",
        "empty.svs": r"empty\.svs is empty \(0 bytes\); copy it again",
        "text.svs": r"text\.svs is no slide or image of a kind that is known, or it is damaged",
        "folder": r"folder is a folder, but no slide: .*give a slide inside it",
    }
    for name, pattern in said.items():
        with pytest.raises(UserError, match=pattern):
            open_slide(tmp_path / name)


def test_grey_images_are_refused_when_they_are_opened(tmp_path):
    for suffix in (".png", ".jpg", ".tif"):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(RGB[..., 0]).save(path)
        with pytest.raises(UserError, match=r"is grey .*RGB"):
            open_slide(path)


def png_of(width, height, data=b""):
    """A PNG that claims a size, with pixels for as much as `data` unpacks to."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_a_png_that_claims_what_its_bytes_cannot_hold_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_of(13_000, 13_000, zlib.compress(bytes(10**6))))
    with pytest.raises(UserError, match=r"13000 × 13000 pixels cannot be packed into \d+ bytes"):
        open_slide(path)


@pytest.mark.parametrize("side", [13_500, 60_000, 10**9])
def test_a_plain_image_too_large_for_memory_is_refused_with_the_mend(tmp_path, side):
    path = tmp_path / "a.png"
    path.write_bytes(png_of(side, side) + bytes(10**6))
    with pytest.raises(UserError, match=r"more than 178 million pixels.*as a pyramidal TIFF"):
        open_slide(path)


def test_a_plain_image_that_changes_after_it_was_opened_is_told(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), RGB)
    with open_slide(tmp_path / "a.png") as slide:
        cv2.imwrite(str(tmp_path / "a.png"), RGB[:20])
        with pytest.raises(UserError, match="has changed since it was opened"):
            slide.read(0, 0, 0, 8, 8)


def test_a_damaged_plain_image_is_told_when_it_is_read(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with open_slide(tmp_path / "a.png") as slide:
        with pytest.raises(UserError, match=r"a\.png is damaged or cut short"):
            slide.read(0, 0, 0, 8, 8)


@pytest.mark.parametrize("cut", [5, 8, 40, 200])
def test_a_tiff_cut_in_its_description_is_told(tmp_path, cut):
    path = write_tiff(tmp_path / "a.tif", pyramid(picture(200, 300)), compression=None)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"a\.tif "):
        with open_slide(path) as slide:
            slide.read(0, 0, 0, 8, 8)


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_a_tiff_whose_directories_form_a_circle_is_told(tmp_path, tile):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for level in pyramid(picture(200, 300)):
            file.write(level, tile=tile, photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        first, last = tiff.pages[0].offset, tiff.pages[2]
        place = last.offset + 2 + 12 * len(last.tags)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(struct.pack("<I", first))
    with pytest.raises(UserError, match="its directories form a circle"):
        open_slide(path)


def test_a_tiff_with_two_colour_spaces_is_told(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb")
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages.first.tags["PhotometricInterpretation"].offset
    with path.open("r+b") as file:
        file.seek(place + 4)
        file.write(struct.pack("<I", 2))  # how many values the tag has
    with pytest.raises(UserError, match=r"a\.tif "):
        with open_slide(path) as slide:
            slide.read(0, 0, 0, 8, 8)


def test_two_dicom_slides_in_a_folder_are_not_guessed_between(tmp_path):
    for number in (1, 2):
        series = f"1.2.{number}".encode()
        body = b"\x20\x00\x0e\x00UI" + len(series).to_bytes(2, "little") + series
        (tmp_path / f"{number}.dcm").write_bytes(bytes(128) + b"DICM" + body)
    with pytest.raises(UserError, match=r"holds 2 DICOM slides; give a file of one, as 1\.dcm"):
        open_slide(tmp_path)


def test_openslide_is_imported_only_where_it_serves(tmp_path):
    for name in ("a.png", "a.tif"):
        Image.fromarray(RGB).save(tmp_path / name)
    write_tiff(tmp_path / "b.tif", pyramid(picture(200, 300)))
    write_plain_ngff(tmp_path / "c.zarr", RGB)
    code = (
        "import sys\n"
        "for name in ('openslide', 'tiffslide', 'zarr', 'torch'): sys.modules[name] = None\n"
        "from transfer_kit.data.slides import open_slide\n"
        "for path in sys.argv[1:]: open_slide(path).read(0, 0, 0, 8, 8)"
    )
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 4
    subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("openslide/unopenable.tiff", r"52479 is not a known COMPRESSION.*copy it again"),
        ("openslide/unreadable.svs", r"cannot be read at level 0, x 0, y 0 .*copy it again"),
        ("histolab/broken.svs", r"is no slide or image of a kind that is known, or it is damaged"),
        ("pathml/smalltif.tif", r"is grey \(one channel\), not RGB"),
    ],
)
def test_real_files_that_must_fail_do_so_in_a_sentence(real_data, name, pattern):
    with pytest.raises(UserError, match=pattern):
        with open_slide(folder_of_slides(real_data) / name) as slide:
            slide.read(0, 0, 0, 1, 1)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["openslide/boxes.tiff", "pathml/small_HE_levels.tiff"])
def test_real_pyramids_are_read_at_every_level(real_data, name):
    path = folder_of_slides(real_data) / name
    with open_slide(path) as slide:
        assert [level.size for level in slide.levels] == [
            (250, 300),
            (125, 150),
            (62, 75),
            (31, 37),
        ]
        assert [level.downsample for level in slide.levels] == [1, 2, 4, 8]
        assert slide.mpp is None  # 72 dpi
        for number in range(4):
            np.testing.assert_array_equal(whole(slide, number), tifffile.imread(path, key=number))


def test_a_slide_of_vms_is_opened_by_its_suffix(tmp_path):
    pytest.importorskip("openslide", reason="needs the extra [slides]")
    assert open_slide(write_vms(tmp_path / "a.vms", picture(128, 256))).size == (128, 256)
