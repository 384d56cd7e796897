import numpy as np
import pytest
from data.slides.made_slides import picture, pyramid, write_tiff

from transfer_kit.data.slides import Level, open_slide
from transfer_kit.data.slides import thumbnail as module
from transfer_kit.data.slides.opened import OpenedSlide
from transfer_kit.data.slides.thumbnail import scaled_down, thumbnail_of


class Array(OpenedSlide):
    """Arrays as a slide that notes what is read from it."""

    def __init__(self, levels):
        self.arrays = levels
        self.read_from = []
        finest = levels[0].shape[0]
        super().__init__("array", tuple(Level(a.shape[:2], finest / len(a)) for a in levels), None)

    def _pixels(self, level, x, y, width, height):
        self.read_from.append((level, width, height))
        return self.arrays[level][y : y + height, x : x + width]

    def close(self):
        pass


@pytest.mark.parametrize("by", [2, 3, 7])
def test_a_pixel_is_the_mean_of_its_square(by):
    image = picture(40 * by, 50 * by)
    thumbnail = thumbnail_of(Array([image]), by + 0.4)
    assert thumbnail.downsample == by
    expected = image.reshape(40, by, 50, by, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(thumbnail.pixels, expected, atol=0.51)


def test_squares_that_reach_beyond_the_slide_hold_what_is_there():
    image = np.full((10, 11, 3), 200, np.uint8)
    thumbnail = thumbnail_of(Array([image]), 4)
    assert thumbnail.pixels.shape == (3, 3, 3)
    assert (thumbnail.pixels == 200).all()


def test_the_coarsest_level_that_is_fine_enough_is_read():
    slide = Array(pyramid(picture(512, 768), 4))
    for wanted, level, downsample in ((1, 0, 1), (3, 1, 2), (4, 2, 4), (25, 3, 24)):
        slide.read_from.clear()
        assert thumbnail_of(slide, wanted).downsample == downsample
        assert {number for number, _, _ in slide.read_from} == {level}


def test_a_slide_is_read_a_few_megabytes_at_a_time():
    image = np.broadcast_to(np.uint8(100), (5000, 9000, 3))
    slide = Array([image])
    thumbnail = thumbnail_of(slide, 30)
    assert thumbnail.pixels.shape == (167, 300, 3)
    assert len(slide.read_from) > 5
    assert max(width * height for _, width, height in slide.read_from) <= 2048**2


def test_whole_pixels_are_asked_for_where_less_than_one_is_wanted():
    image = picture(30, 40)
    np.testing.assert_array_equal(thumbnail_of(Array([image]), 0.3).pixels, image)


def test_a_pyramid_and_its_finest_level_alone_look_alike(tmp_path):
    levels = pyramid(picture(512, 768))
    with open_slide(write_tiff(tmp_path / "a.tif", levels)) as slide:
        several = thumbnail_of(slide, 8)
    alone = thumbnail_of(Array(levels[:1]), 8)
    assert several.downsample == alone.downsample
    np.testing.assert_allclose(several.pixels.astype(int), alone.pixels, atol=2)


@pytest.mark.parametrize("read_px", [24, 2048])
def test_pixels_are_means_however_much_is_read_at_a_time(monkeypatch, read_px):
    monkeypatch.setattr(module, "_READ_PX", read_px)
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3)).astype(np.uint8)
    slide = Array([image])
    small = scaled_down(slide, 50)
    assert small.shape == (30, 50, 3)
    np.testing.assert_allclose(small, image.reshape(30, 4, 50, 4, 3).mean(axis=(1, 3)), atol=0.51)
    assert max(max(sides) for _, *sides in slide.read_from) <= read_px


def test_a_picture_is_scaled_down_from_the_coarsest_level_that_is_as_long():
    slide = Array(pyramid(picture(320, 640), 4))
    assert scaled_down(slide, 160).shape == (80, 160, 3)
    assert {number for number, _, _ in slide.read_from} == {2}
    slide.read_from.clear()
    assert scaled_down(slide, 161).shape == (80, 161, 3)
    assert {number for number, _, _ in slide.read_from} == {1}


def test_a_picture_that_is_small_stays_as_it_is():
    image = picture(30, 40)
    np.testing.assert_array_equal(scaled_down(Array([image]), 2_000), image)


def test_sides_that_do_not_divide_are_scaled_evenly():
    rows = np.arange(1001) * 255 / 1001
    image = np.broadcast_to(rows[:, None, None], (1001, 777, 3)).astype(np.uint8)
    small = scaled_down(Array([image]), 100)
    assert small.shape == (100, 78, 3)
    np.testing.assert_allclose(small[:, 40, 0], (np.arange(100) + 0.5) * 255 / 100, atol=2.5)
