"""OME-NGFF and Zarr as the zarr package writes them, and folders that mean harm."""

import gzip
import json
import sys
import tracemalloc

import numpy as np
import pytest
from data.slides.made_slides import (
    MPP,
    multiscales,
    picture,
    pyramid,
    whole,
    windows,
    write_ngff,
    write_plain_ngff,
)

from transfer_kit.data.slides import open_slide
from transfer_kit.data.slides.ngff import NgffSlide
from transfer_kit.errors import UserError

LEVELS = pyramid(picture())


def codecs_of_format_2():
    numcodecs = pytest.importorskip("numcodecs", reason="it packs these chunks")
    return {
        "none": None,
        "blosc": numcodecs.Blosc("lz4"),
        "zstd": numcodecs.Zstd(),
        "zlib": numcodecs.Zlib(),
        "gzip": numcodecs.GZip(),
        "lz4": numcodecs.LZ4(),
    }


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("axes", "chunk"), [("tczyx", (1, 64, 64)), ("tczyx", (3, 50, 70)), ("yxc", (3, 64, 64))]
)
def test_every_level_holds_what_was_written(tmp_path, zarr_format, axes, chunk):
    path = tmp_path / "a.ome.zarr"
    write_ngff(path, LEVELS, zarr_format=zarr_format, axes=axes, chunk=chunk)
    with open_slide(path) as slide:
        assert isinstance(slide, NgffSlide)
        assert slide.mpp == pytest.approx(MPP)
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        for number, level in enumerate(LEVELS):
            np.testing.assert_array_equal(windows(slide, number, 90), level)


@pytest.mark.parametrize("name", ["none", "blosc", "zstd", "zlib", "gzip", "lz4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_codecs_of_format_2_are_known(tmp_path, name, order):
    packer = codecs_of_format_2()[name]
    write_ngff(tmp_path / "a.zarr", LEVELS[:1], axes="cyx", compressors=packer, order=order)
    with open_slide(tmp_path / "a.zarr") as slide:
        np.testing.assert_array_equal(whole(slide), LEVELS[0])


@pytest.mark.parametrize("name", ["BloscCodec", "GzipCodec", "ZstdCodec", "Crc32cCodec"])
def test_the_codecs_of_format_3_are_known(tmp_path, name):
    codec = getattr(pytest.importorskip("zarr.codecs"), name)()
    write_ngff(tmp_path / "a.zarr", LEVELS[:1], zarr_format=3, axes="cyx", compressors=codec)
    with open_slide(tmp_path / "a.zarr") as slide:
        np.testing.assert_array_equal(whole(slide), LEVELS[0])


def test_shards_are_read_also_where_chunks_in_them_are_missing(tmp_path):
    holey = LEVELS[0].copy()
    holey[64:128, 64:192] = 0  # chunks of the fill value are not written
    write_ngff(
        tmp_path / "a.zarr",
        [holey],
        zarr_format=3,
        axes="cyx",
        chunk=(3, 32, 32),
        shards=(3, 128, 128),
    )
    with open_slide(tmp_path / "a.zarr") as slide:
        np.testing.assert_array_equal(windows(slide, 0, 100), holey)


def test_a_plain_array_is_a_slide_of_one_level(tmp_path):
    zarr = pytest.importorskip("zarr", reason="it writes the array")
    for name, data in (("a", LEVELS[0]), ("b", LEVELS[0].transpose(2, 0, 1))):
        zarr.create_array(tmp_path / f"{name}.zarr", data=data, chunks=(50, 50, 50))
        with open_slide(tmp_path / f"{name}.zarr") as slide:
            np.testing.assert_array_equal(whole(slide), LEVELS[0])
            assert slide.mpp is None


def test_the_zarr_package_is_not_needed(tmp_path, monkeypatch):
    for name in ("zarr", "numcodecs"):
        monkeypatch.setitem(sys.modules, name, None)
    with open_slide(write_plain_ngff(tmp_path / "a.zarr", LEVELS[0])) as slide:
        np.testing.assert_array_equal(whole(slide), LEVELS[0])


def test_the_first_image_of_many_is_the_slide(tmp_path):
    write_plain_ngff(tmp_path / "a.zarr" / "0", LEVELS[0])
    (tmp_path / "a.zarr" / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    with open_slide(tmp_path / "a.zarr") as slide:
        np.testing.assert_array_equal(whole(slide), LEVELS[0])


@pytest.fixture
def slide_folder(tmp_path):
    """A slide in the open: its metadata and chunks can be altered by hand."""
    return write_plain_ngff(tmp_path / "a.zarr", LEVELS[0])


def alter(path, **members):
    document = json.loads(path.read_text())
    document.update(members)
    path.write_text(json.dumps(document))


def test_units_and_scales_of_the_whole_image_count(slide_folder):
    def mpp(**members):
        stated = multiscales(1, axes="yxc", **members)
        stated[0]["coordinateTransformations"] = [{"type": "scale", "scale": [0.5, 0.5, 1.0]}]
        alter(slide_folder / ".zattrs", multiscales=stated)
        return open_slide(slide_folder).mpp

    assert mpp() == pytest.approx(MPP / 2)
    assert mpp(mpp=1000.0, unit="nanometer") == pytest.approx(0.5)
    assert mpp(unit="parsec") is None
    assert mpp(mpp=90.0) is None


@pytest.mark.parametrize("place", ["../other.zarr/0", "/etc", "../../..", "linked"])
def test_arrays_outside_of_the_folder_are_refused(slide_folder, tmp_path, place):
    write_plain_ngff(tmp_path / "other.zarr", LEVELS[0])
    (slide_folder / "linked").symlink_to(tmp_path / "other.zarr" / "0")
    stated = multiscales(1, axes="yxc")
    stated[0]["datasets"][0]["path"] = place
    alter(slide_folder / ".zattrs", multiscales=stated)
    with pytest.raises(UserError, match=r"a\.zarr refers to .*, which lies outside of it"):
        open_slide(slide_folder)


def test_chunks_and_metadata_outside_of_the_folder_are_refused(slide_folder, tmp_path):
    chunk = slide_folder / "0" / "0.0.0"
    (tmp_path / "secret").write_bytes(chunk.read_bytes())
    chunk.unlink()
    chunk.symlink_to(tmp_path / "secret")
    with open_slide(slide_folder) as slide:
        with pytest.raises(UserError, match=r"refers to .*0\.0\.0, which lies outside"):
            slide.read(0, 0, 0, 8, 8)
    array = slide_folder / "0" / ".zarray"
    (tmp_path / "array").write_text(array.read_text())
    array.unlink()
    array.symlink_to(tmp_path / "array")
    with pytest.raises(UserError, match=r"refers to .*\.zarray, which lies outside"):
        open_slide(slide_folder)


@pytest.mark.parametrize("size", [0, 1, 64 * 64 * 3 - 1, 64 * 64 * 3 + 1, 10**6])
def test_a_chunk_of_another_size_is_told_by_its_place(slide_folder, size):
    (slide_folder / "0" / "1.2.0").write_bytes(bytes(size))
    with open_slide(slide_folder) as slide:
        with pytest.raises(UserError, match=r"a\.zarr cannot be read at level 0, x 128, y 64 \("):
            slide.read(0, 130, 70, 8, 8)
        np.testing.assert_array_equal(slide.read(0, 0, 0, 64, 64), LEVELS[0][:64, :64])


def test_a_chunk_that_unpacks_to_gigabytes_is_stopped(slide_folder):
    alter(slide_folder / "0" / ".zarray", compressor={"id": "gzip", "level": 1})
    packed = gzip.compress(bytes(2**20))
    (slide_folder / "0" / "0.0.0").write_bytes(packed * 40)  # members follow each other
    with open_slide(slide_folder) as slide:
        with pytest.raises(
            UserError, match=r"level 0, x 0, y 0 .a chunk of 12288 bytes decodes to"
        ):
            slide.read(0, 0, 0, 8, 8)


def test_a_window_of_a_vast_slide_takes_the_memory_of_a_window(slide_folder):
    alter(slide_folder / "0" / ".zarray", shape=[10**9, 10**9, 3])
    with open_slide(slide_folder) as slide:
        assert slide.size == (10**9, 10**9)
        tracemalloc.start()
        assert slide.read(0, 10**9 - 500, 10**9 - 300, 500, 300).shape == (300, 500, 3)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20 * 500 * 300 * 3


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"compressor": {"id": "pickle"}}, "packed by 'pickle'"),
        ({"filters": [{"id": "pickle"}]}, "it has filters"),
        ({"dtype": "|O"}, r"its samples are '\|O', not uint8"),
        ({"dtype": "<u2"}, "not uint8"),
        ({"chunks": [10**6, 10**6, 3]}, "too large for windows"),
        ({"chunks": [0, 64, 3]}, "no sides of an array"),
        ({"chunks": 64}, "cannot be understood"),
        ({"shape": [-5, 64, 3]}, "no sides of an array"),
        ({"shape": [301, 427, 4]}, "has 4 channels, not red, green and blue"),
        ({"shape": [301, 427], "chunks": [64, 64]}, "has 2 axes, not y, x, c"),
        ({"dimension_separator": "/../"}, "named with"),
    ],
)
def test_what_is_not_known_of_an_array_is_told(slide_folder, members, said):
    alter(slide_folder / "0" / ".zarray", **members)
    with pytest.raises(UserError, match=said):
        open_slide(slide_folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"multiscales": []}', '{"multiscales": [{"datasets": 3}]}']
)
def test_broken_metadata_is_told(slide_folder, text):
    (slide_folder / ".zattrs").write_text(text)
    with pytest.raises(UserError, match=r"a\.zarr"):
        open_slide(slide_folder)


def test_metadata_that_nests_without_end_is_told(slide_folder):
    (slide_folder / ".zattrs").write_text("[" * 100_000)
    with pytest.raises(UserError, match="nests too deeply"):
        open_slide(slide_folder)


def test_fluorescence_plates_and_empty_folders_are_told(slide_folder, tmp_path):
    channels = [{"color": colour} for colour in ("0000FF", "00FF00", "FF0000")]
    alter(slide_folder / ".zattrs", omero={"channels": channels})
    with pytest.raises(UserError, match="fluorescence, not RGB"):
        open_slide(slide_folder)
    alter(slide_folder / ".zattrs", plate={})
    with pytest.raises(UserError, match="is a plate of many images"):
        open_slide(slide_folder)
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(UserError, match=r"b\.zarr holds neither zarr\.json nor \.zattrs"):
        open_slide(tmp_path / "b.zarr")


def test_a_level_that_cannot_be_read_is_left_out(tmp_path):
    path = write_ngff(tmp_path / "a.zarr", LEVELS, axes="cyx")
    for chunk in (path / "1").glob("0.*"):
        chunk.write_bytes(b"x")
    with open_slide(path) as slide:
        assert [level.downsample for level in slide.levels] == [1, 4]
