"""Pictures of slides with what was found: colours where nuclei are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from inference.outputs.drawn_slide import DrawnSlide
from inference.outputs.found_nuclei import EMPTY, NOTHING, facts, found_outlines
from PIL import Image

from transfer_kit.evaluation.overlay import CLASS_COLOURS
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.inference.outputs.overlay import overlay, write_overlay

GREY = np.full((1_200, 1_600, 3), 200, np.uint8)
WHOLE = facts((1_200, 1_600))


def found_at(points, kinds=None, classes=("a", "b")):
    points = np.asarray(points, np.float32)
    kinds = np.zeros(len(points)) if kinds is None else kinds
    return FoundNuclei(
        points, np.ones(len(points), np.float32), np.asarray(kinds, np.uint16), classes
    )


def places_of(picture, colour, tolerance=30):
    """Rows and columns of a colour in the picture, without the legend."""
    near = np.abs(picture.astype(int) - colour).max(axis=2) <= tolerance
    return np.argwhere(near[:1_200])


def test_each_class_is_circled_in_its_colour_at_its_place():
    found = found_at([[300, 200], [1_000, 900]], [0, 1])
    picture = overlay(found, WHOLE, slide=DrawnSlide(GREY))
    for colour, (x, y) in zip(CLASS_COLOURS, found.points, strict=False):
        rows, columns = places_of(picture, colour).T
        assert rows.mean() == pytest.approx(y, abs=0.5)
        assert columns.mean() == pytest.approx(x, abs=0.5)
        assert np.ptp(rows) < 25


def test_places_shrink_with_the_picture():
    found = found_at([[1_200, 600]])
    picture = overlay(found, WHOLE, slide=DrawnSlide(GREY), longest_px=800)
    assert picture.shape[1] == 800
    rows, columns = places_of(picture, CLASS_COLOURS[0])[:, :].T
    kept = rows < 600
    assert rows[kept].mean() == pytest.approx(300, abs=0.6)
    assert columns[kept].mean() == pytest.approx(600, abs=0.6)


def test_crowds_are_a_veil_that_is_densest_where_they_are():
    rng = np.random.default_rng(0)
    crowd = rng.normal((400, 600), 60, (4_000, 2))
    sparse = rng.normal((1_200, 600), 60, (200, 2))
    found = found_at([*crowd, *sparse], [0] * 4_000 + [1] * 200)
    picture = overlay(found, WHOLE, slide=DrawnSlide(GREY), longest_px=640).astype(int)
    crowded, few, none = (
        picture[230:250, 150:170],
        picture[230:250, 470:490],
        picture[40:120, 280:360],
    )
    assert (none == 200).all()
    assert np.abs(crowded - 200).mean() > 3 * np.abs(few - 200).mean()
    to_first, to_second = (np.abs(crowded - colour).mean() for colour in CLASS_COLOURS[:2])
    assert to_first < 50 < to_second


def test_the_rim_of_the_searched_area_and_of_its_holes_is_drawn():
    area = shapely.box(200, 200, 1_000, 1_000).difference(shapely.box(500, 500, 600, 600))
    searched = facts((1_200, 1_600), searched=shapely.MultiPolygon([area]))
    picture = overlay(EMPTY, searched, slide=DrawnSlide(GREY))
    white = {tuple(place) for place in places_of(picture, (255, 255, 255), 5)}
    assert {(600, 200), (200, 600), (550, 500)} <= white
    assert (600, 800) not in white


def test_outlines_are_drawn_where_they_are_large_enough():
    found, instances = found_outlines()
    image = np.full((90, 110, 3), 200, np.uint8)
    picture = overlay(found, facts(), slide=DrawnSlide(image))
    factor = 6  # small images are enlarged
    inside = np.kron(instances > 0, np.ones((factor, factor), bool))
    colours = [
        np.abs(picture[: 90 * factor, : 110 * factor].astype(int) - c) for c in CLASS_COLOURS[:3]
    ]
    drawn = np.min([colour.max(axis=2) for colour in colours], axis=0) == 0
    bare = [found.points[k] for k in (3, 7)]  # these two are circles
    for x, y in bare:
        row, column = int(y * factor), int(x * factor)
        drawn[max(row - 20, 0) : row + 20, max(column - 20, 0) : column + 20] = False
    assert drawn.sum() > 500
    assert not (drawn & ~inside).any()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_without_nuclei_and_searched_area_is_the_slide(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    (written,) = write_overlay(path, EMPTY, NOTHING, slide=DrawnSlide(GREY))
    with Image.open(written) as picture:
        assert picture.size[0] == 1_600
        assert np.abs(np.array(picture)[:1_190].astype(int) - 200).max() <= 2
