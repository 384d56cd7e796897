from __future__ import annotations

from pathlib import Path

import pytest
from viewer.array_slide import ArraySlide, smooth_pixels

from transfer_kit.errors import UserError
from transfer_kit.viewer.open_slides import OpenSlides


def opener(opened):
    def open_(path):
        opened.append(ArraySlide(smooth_pixels(8, 8), path=path))
        return opened[-1]

    return open_


def test_a_slide_that_is_used_again_is_opened_once():
    opened = []
    slides = OpenSlides(opener(opened))
    for _ in range(3):
        with slides.using(Path("a")) as slide:
            assert slide.path == Path("a")
    assert len(opened) == 1


def test_only_the_last_few_stay_open_and_none_is_closed_while_it_is_read():
    opened = []
    slides = OpenSlides(opener(opened), most=2)
    with slides.using(Path("0")):
        for name in "1234":
            with slides.using(Path(name)):
                pass
        assert opened[0].closed == 0
    assert [slide.closed for slide in opened] == [0, 1, 1, 1, 0]
    slides.close()
    assert [slide.closed for slide in opened] == [1] * 5


def test_a_slide_that_cannot_be_opened_says_so_each_time():
    def broken(path):
        raise UserError("damaged")

    slides = OpenSlides(broken)
    for _ in range(2):
        with pytest.raises(UserError, match="damaged"), slides.using(Path("a")):
            pass
