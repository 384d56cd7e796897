"""Slides of any size and format, found, opened and read by windows."""

from transfer_kit.data.slides.finding import SLIDE_SUFFIXES, find_slides, slide_name
from transfer_kit.data.slides.opening import open_slide
from transfer_kit.data.slides.slide import Level, Pixels, Slide

__all__ = [
    "SLIDE_SUFFIXES",
    "Level",
    "Pixels",
    "Slide",
    "find_slides",
    "open_slide",
    "slide_name",
]
