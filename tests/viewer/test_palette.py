from __future__ import annotations

from transfer_kit.viewer.palette import Palette


def test_classes_keep_their_colour_and_differ():
    palette = Palette(["tumour", "stroma"])
    colours = {name: palette.css(name) for name in ("", "tumour", "stroma", "other")}
    assert len(set(colours.values())) == 4
    assert {name: palette.css(name) for name in reversed(colours)} == colours
    assert palette.names() == ("tumour", "stroma", "other")
    assert palette.css("") == "#00c8ff"


def test_there_is_a_colour_for_the_hundredth_class():
    palette = Palette(str(number) for number in range(100))
    assert len(palette.css("99")) == 7
