"""What OpenSlide serves, against the pictures that were written and OpenSlide itself."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from data.slides.made_slides import (
    MPP,
    folder_of_slides,
    picture,
    pyramid,
    whole,
    windows,
    write_mrxs,
    write_scn,
    write_tiff,
    write_vms,
)

from transfer_kit.data.slides import open_slide
from transfer_kit.data.slides.with_openslide import OpenSlideSlide
from transfer_kit.errors import UserError

openslide = pytest.importorskip("openslide", reason="needs the extra [slides]")


def test_leicas_slide_begins_at_the_corner_of_what_was_scanned(tmp_path):
    levels = pyramid(picture(512, 768), 2)
    path = write_scn(tmp_path / "a.scn", levels, corner=(200, 400))
    with open_slide(path) as slide, tifffile.TiffFile(path) as tiff:
        assert isinstance(slide, OpenSlideSlide)
        assert slide.size == (512, 768)
        assert [level.downsample for level in slide.levels] == [1, 2]
        assert slide.mpp == pytest.approx(MPP)
        for number in range(2):
            stored = tiff.pages[number + 1].asarray()
            np.testing.assert_array_equal(windows(slide, number, 100), stored)


@pytest.mark.parametrize("corner", [(128, 256), (120, 200)])
def test_mrxs_begins_at_the_corner_of_what_was_scanned(tmp_path, corner):
    levels = pyramid(picture(256, 384), 3)
    path = write_mrxs(tmp_path / "a.mrxs", levels, corner=corner)
    with open_slide(path) as slide, openslide.OpenSlide(path) as peer:
        assert peer.dimensions == (1024, 768)
        left, top = (int(peer.properties[f"openslide.bounds-{axis}"]) for axis in "xy")
        assert (left, top) == tuple(place // 128 * 128 for place in corner)  # whole images
        assert slide.mpp == pytest.approx(MPP)
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        for number, level in enumerate(levels):
            height, width = level.shape[:2]
            x, y = ((corner[k] - (left, top)[k]) >> number for k in range(2))
            np.testing.assert_array_equal(slide.read(number, x, y, width, height), level)


def test_mrxs_without_its_folder_is_told(tmp_path):
    path = write_mrxs(tmp_path / "a.mrxs", pyramid(picture(256, 384), 3))
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(UserError, match=r"a\.mrxs .*copy it again"):
        open_slide(path)


def test_hamamatsus_vms_is_read_from_its_jpegs(tmp_path):
    finest = picture(512, 768)
    with open_slide(write_vms(tmp_path / "a.vms", finest)) as slide:
        assert slide.size == (512, 768)
        assert slide.mpp == pytest.approx(MPP)
        assert [level.downsample for level in slide.levels][:4] == [1, 2, 4, 8]
        assert np.abs(whole(slide).astype(int) - finest).mean() < 3
        np.testing.assert_array_equal(windows(slide, 1, 77), whole(slide, 1))


def test_windows_are_the_same_however_a_level_is_cut(tmp_path):
    levels = pyramid(picture(503, 751))
    path = write_tiff(tmp_path / "a.tif", levels)
    with OpenSlideSlide(path, path) as slide:
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        for number, level in enumerate(levels):
            entire = whole(slide, number)
            np.testing.assert_array_equal(windows(slide, number, 190), entire)
            # Half a pixel of level 0 is a quarter of a pixel of level 1, and less of level 2.
            steps = [np.abs(np.diff(level.astype(int), axis=axis)).mean() for axis in (0, 1)]
            error = np.abs(entire.astype(int) - level).mean()
            assert error <= (0 if number == 0 else sum(steps) / 4)


def test_whole_multiples_are_exact(tmp_path):
    levels = pyramid(picture(512, 768))
    path = write_tiff(tmp_path / "a.tif", levels)
    with OpenSlideSlide(path, path) as slide:
        for number, level in enumerate(levels):
            np.testing.assert_array_equal(windows(slide, number, 190), level)


def test_after_a_damaged_place_the_rest_is_still_read(tmp_path):
    levels = pyramid(picture(600, 600), 1)
    path = write_tiff(tmp_path / "a.tif", levels, compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages.first.dataoffsets[0], tiff.pages.first.databytecounts[0]
        expected = tiff.pages.first.asarray()
    data = path.read_bytes()
    path.write_bytes(data[:offset] + bytes(count) + data[offset + count :])
    with OpenSlideSlide(path, path) as slide:
        for _ in range(2):
            with pytest.raises(UserError, match=r"a\.tif cannot be read at level 0, x 0, y 0 \("):
                slide.read(0, 10, 10, 5, 5)
            np.testing.assert_array_equal(
                slide.read(0, 300, 300, 99, 99), expected[300:399, 300:399]
            )


def test_many_threads_read_what_one_reads_also_while_some_places_fail(tmp_path):
    finest = picture(600, 900)
    path = write_tiff(tmp_path / "a.tif", [finest], compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages.first.dataoffsets[0], tiff.pages.first.databytecounts[0]
    data = path.read_bytes()
    path.write_bytes(data[:offset] + bytes(count) + data[offset + count :])
    places = [(x, y) for y in range(0, 500, 90) for x in range(0, 800, 90)] * 2

    def read(place):
        try:
            return slide.read(0, *place, 64, 64)
        except UserError:
            return None

    with OpenSlideSlide(path, path) as slide, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(read, places))
    for (x, y), window in zip(places, found, strict=True):
        if x < 256 and y < 256:
            assert window is None
        else:
            np.testing.assert_array_equal(window, finest[y : y + 64, x : x + 64])


def test_a_level_that_cannot_be_read_is_left_out(tmp_path):
    levels = pyramid(picture(512, 768))
    path = write_tiff(tmp_path / "a.tif", levels, compression="jpeg")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[1]
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    with OpenSlideSlide(path, path) as slide:
        assert [level.downsample for level in slide.levels] == [1, 4]
        np.testing.assert_array_equal(whole(slide, 1), tifffile.imread(path, key=2))


def test_without_the_package_the_mend_is_told(tmp_path, monkeypatch):
    path = write_vms(tmp_path / "a.vms", picture(128, 256))
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(UserError, match=r"a\.vms needs OpenSlide .*'transfer-kit\[slides\]'"):
        open_slide(path)


def test_a_closed_slide_reads_no_more_and_closes_twice(tmp_path):
    slide = open_slide(write_vms(tmp_path / "a.vms", picture(128, 256)))
    slide.close()
    slide.close()
    with pytest.raises(UserError, match="the slide has been closed"):
        slide.read(0, 0, 0, 8, 8)


@pytest.mark.parametrize("suffix", [".mrxs", ".vms", ".vmu"])
def test_garbage_in_a_slide_of_many_files_is_told(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(np.random.default_rng(0).bytes(999))
    with pytest.raises(UserError, match=rf"a\{suffix} is no slide that OpenSlide knows, or it is"):
        open_slide(path)


@pytest.mark.real_data
def test_dicom_is_read_as_a_file_and_as_a_folder(real_data, tmp_path):
    source = folder_of_slides(real_data) / "openslide"
    for name in ("boxes_0.dcm", "boxes_1.dcm"):
        shutil.copy(source / name, tmp_path / name)
    with open_slide(tmp_path) as slide, open_slide(source / "boxes_0.dcm") as file:
        assert slide.path == tmp_path
        assert slide.mpp == file.mpp == 0.499
        with openslide.OpenSlide(source / "boxes_0.dcm") as peer:
            width, height = peer.dimensions
            expected = np.asarray(peer.read_region((0, 0), 0, (width, height)))[..., :3]
        np.testing.assert_array_equal(whole(slide), expected)
        np.testing.assert_array_equal(whole(file), expected)


@pytest.mark.real_data
def test_dicom_that_is_no_slide_is_told(real_data):
    path = folder_of_slides(real_data) / "pathml" / "small_dicom.dcm"
    with pytest.raises(UserError, match=r"small_dicom\.dcm cannot be opened .*or no slide"):
        open_slide(path)


@pytest.mark.real_data
def test_dicom_cut_short_is_told(real_data, tmp_path):
    data = (folder_of_slides(real_data) / "openslide" / "boxes_0.dcm").read_bytes()
    for size in (132, 900, 3000):
        path = tmp_path / f"{size}.dcm"
        path.write_bytes(data[:size])
        with pytest.raises(UserError, match=rf"{size}\.dcm "):
            open_slide(path)


def test_dicom_garbage_is_told(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(bytes(128) + b"DICM" + np.random.default_rng(0).bytes(3000))
    with pytest.raises(UserError, match=r"a\.dcm "):
        open_slide(path)
