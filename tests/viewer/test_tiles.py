from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from viewer.array_slide import ArraySlide, averaged, smooth_pixels

from transfer_kit.viewer.tiles import TILE_PX, Tiles

SIZE = (1300, 1033)


def stitched(tiles, level):
    rows, columns = tiles.shape(level)
    return np.concatenate(
        [
            np.concatenate([tiles.pixels(level, x, y) for x in range(columns)], axis=1)
            for y in range(rows)
        ]
    )


def test_the_tiles_of_the_finest_level_are_exactly_the_slide():
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    tiles = Tiles(ArraySlide(noise, (1, 4)))
    assert tiles.size(tiles.depth) == SIZE
    np.testing.assert_array_equal(stitched(tiles, tiles.depth), noise)


@pytest.mark.parametrize("downsamples", [(1,), (1, 2, 4, 8), (1, 4, 16), (1, 3)])
def test_each_coarser_level_is_the_average_of_the_slide(downsamples):
    pixels = smooth_pixels(672, 544)
    tiles = Tiles(ArraySlide(pixels, downsamples))
    for halvings in range(1, 6):
        whole = stitched(tiles, tiles.depth - halvings)
        expected = averaged(pixels, 2**halvings)
        off = np.abs(whole.astype(int) - expected)
        # A level of downsample 3 does not fit halvings: up to a pixel of it off.
        assert off.max() <= (9 if 3 in downsamples else 2)


def test_the_last_tile_reaches_to_the_very_edge():
    """It is as wide as its pixels, rounded up; the page draws it as wide as what it shows."""
    pixels = np.zeros((100, 1033, 3), np.uint8)
    pixels[:, 1030:] = 255
    tiles = Tiles(ArraySlide(pixels))
    level = tiles.depth - 2
    assert tiles.size(level) == (25, 259)
    last = tiles.pixels(level, 0, 0)[0, -2:, 0]
    assert last[1] > 180
    assert last[0] < 60


def test_a_slide_without_levels_is_read_in_small_windows():
    slide = ArraySlide(smooth_pixels(1100, 1200))
    tiles = Tiles(slide)
    tiles.pixels(tiles.depth - 3, 0, 0)
    assert slide.largest <= (2 * TILE_PX) ** 2


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (512, 512), (513, 512)])
def test_images_of_any_shape_end_in_one_pixel(size):
    tiles = Tiles(ArraySlide(np.full((*size, 3), 7, np.uint8)))
    assert tiles.size(0) == (1, 1)
    for level in range(tiles.depth + 1):
        assert stitched(tiles, level).shape[:2] == tiles.size(level)
        assert (stitched(tiles, level) == 7).all()


def test_there_are_no_tiles_beyond_the_image_or_the_levels():
    tiles = Tiles(ArraySlide(smooth_pixels(*SIZE)))
    depth = tiles.depth
    assert (depth, 2, 2) in tiles
    for place in [(depth, 3, 0), (depth, 0, 3), (depth, -1, 0), (depth + 1, 0, 0), (-1, 0, 0)]:
        assert place not in tiles


def test_a_tile_is_sent_as_a_jpeg_that_looks_the_same():
    pixels = smooth_pixels(700, 700)
    tiles = Tiles(ArraySlide(pixels))
    sent = np.asarray(Image.open(io.BytesIO(tiles.jpeg(tiles.depth, 1, 0))))
    assert sent.shape == (512, 188, 3)
    assert np.abs(sent.astype(int) - pixels[:512, 512:]).max() < 12


def test_scanners_that_round_their_levels_are_taken_at_their_word():
    pixels = smooth_pixels(1200, 1200)
    slide = ArraySlide(pixels, (1, 4))
    slide.levels = (slide.levels[0], type(slide.levels[0])((300, 300), 4.0008))
    whole = stitched(Tiles(slide), Tiles(slide).depth - 2)
    np.testing.assert_array_equal(whole, slide.pyramid[1])
