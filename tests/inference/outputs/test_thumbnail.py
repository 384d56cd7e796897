"""Slides in little: the right level, read by blocks."""

from __future__ import annotations

import numpy as np
import pytest
from inference.outputs.drawn_slide import DrawnSlide

from transfer_kit.inference.outputs import thumbnail as module
from transfer_kit.inference.outputs.thumbnail import thumbnail


def gradient(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 / height, x * 255 / width, 0 * x], axis=2).astype(np.uint8)


def averaged(image, factor):
    height, width = image.shape[:2]
    blocks = image.reshape(height // factor, factor, width // factor, factor, 3)
    return blocks.mean(axis=(1, 3))


@pytest.mark.parametrize("block", [24, 2_048])
def test_pixels_are_averages_whatever_the_blocks(monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK_PX", block)
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3)).astype(np.uint8)
    small = thumbnail(DrawnSlide(image), 50)
    assert small.shape == (30, 50, 3)
    np.testing.assert_allclose(small, averaged(image, 4), atol=0.51)


def test_the_coarsest_level_that_is_fine_enough_is_read():
    slide = DrawnSlide(gradient(320, 640), downsamples=(1, 4, 16))
    assert thumbnail(slide, 160).shape == (80, 160, 3)
    assert slide.reads == [(1, 0, 0, 160, 80)]
    thumbnail(slide, 161)
    assert {read[0] for read in slide.reads[1:]} == {0}


def test_a_small_image_stays_as_it_is():
    image = gradient(30, 40)
    assert np.array_equal(thumbnail(DrawnSlide(image), 2_000), image)


def test_sizes_that_do_not_divide_are_scaled_evenly():
    small = thumbnail(DrawnSlide(gradient(1001, 777)), 100).astype(float)
    assert small.shape == (100, 78, 3)
    rows = (np.arange(100) + 0.5) * 255 / 100
    np.testing.assert_allclose(small[:, 40, 0], rows, atol=2.5)


def test_no_read_is_larger_than_a_block(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_PX", 64)
    slide = DrawnSlide(gradient(300, 500))
    thumbnail(slide, 100)
    assert max(max(read[3:]) for read in slide.reads) <= 64
