from __future__ import annotations

import struct

import numpy as np
import pytest
import shapely

from transfer_kit.inference.found import FoundNuclei
from transfer_kit.viewer.cells import Cells, Window

SIZE = (3000, 5000)


@pytest.fixture(scope="module")
def nuclei():
    rng = np.random.default_rng(0)
    points = rng.uniform((-3, -3), (SIZE[1] + 3, SIZE[0] + 3), (4000, 2)).astype(np.float32)
    kinds = rng.integers(0, 3, 4000).astype(np.uint16)
    return FoundNuclei(points, rng.random(4000).astype(np.float32), kinds, ("a", "b", ""))


def unpacked(data):
    """Positions, scores and kinds of a packed cell, by the words of its docstring alone."""
    count, first = struct.unpack_from("<II", data)
    columns = np.frombuffer(data, "<f4", 3 * count, 8).reshape(3, count)
    kinds = np.frombuffer(data, "<u4", count, 8 + 12 * count)
    return first, columns, kinds, data[8 + 16 * count :]


def test_each_nucleus_is_in_exactly_one_cell_the_one_that_holds_it(nuclei):
    cells = Cells.of(nuclei, SIZE)
    rows, columns = cells.shape
    assert rows * columns > 4
    seen = []
    for row in range(rows):
        for column in range(columns):
            first, (x, y, scores), kinds, _ = unpacked(cells.packed(column, row))
            assert first == len(seen)
            inside = (x >= 0) & (x < SIZE[1]) & (y >= 0) & (y < SIZE[0])
            assert (x[inside] // cells.side == column).all()
            assert (y[inside] // cells.side == row).all()
            seen += zip(x, y, scores, kinds, strict=True)
    sent = sorted(map(tuple, np.array(seen).tolist()))
    x, y = nuclei.points.T
    kept = sorted(
        zip(*(part.tolist() for part in (x, y, nuclei.scores, nuclei.kinds)), strict=True)
    )
    assert sent == kept


def test_the_order_tells_where_each_nucleus_was(nuclei):
    cells = Cells.of(nuclei, SIZE)
    np.testing.assert_array_equal(cells.nuclei.points, nuclei.points[cells.order])


def test_outlines_go_with_their_nuclei():
    outlines = np.array(
        [
            shapely.box(0, 0, 4, 4),
            None,
            shapely.MultiPolygon([shapely.box(8, 8, 9, 9), shapely.box(10, 8, 11, 10)]),
        ]
    )
    points = np.array([[2, 2], [5, 5], [9, 9]], np.float32)
    found = FoundNuclei(points, np.ones(3, np.float32), np.zeros(3, np.uint16), ("",), outlines)
    rest = unpacked(Cells.of(found, (20, 20)).packed(0, 0))[3]
    numbers = np.frombuffer(rest, "<u4", 1 + 3 + 4).tolist()
    assert numbers == [3, 0, 2, 2, 0, 5, 10, 15]
    corners = np.frombuffer(rest, "<f4", offset=32).reshape(-1, 2)
    expected = [shapely.get_coordinates(part) for part in shapely.get_parts(outlines[[0, 2]])]
    np.testing.assert_array_equal(corners, np.concatenate(expected))


def test_counts_of_a_view_are_those_of_a_loop(nuclei):
    cells = Cells.of(nuclei, SIZE)
    window = Window(700, 300, 2500.5, 1999)
    counts = cells.counts(cells.shown(window, 0.4, frozenset({1})))
    expected = [0, 0, 0]
    for (x, y), score, kind in zip(nuclei.points, nuclei.scores, nuclei.kinds, strict=True):
        if 700 <= x < 2500.5 and 300 <= y < 1999 and score >= 0.4 and kind != 1:
            expected[kind] += 1
    assert counts == expected
    assert expected[1] == 0
    assert min(expected[0], expected[2]) > 50


def test_the_density_is_higher_where_more_nuclei_lie():
    places = [(10, 10)] * 1 + [(40, 10)] * 4 + [(70, 25)] * 400
    points = np.array(places, np.float32)
    count = len(points)
    found = FoundNuclei(points, np.ones(count, np.float32), np.zeros(count, np.uint16), ("",))
    cells = Cells.of(found, (60, 90))
    window = Window(0, 0, 90, 40)
    level = cells.density(cells.shown(window, 0), window, 30)
    assert level.shape == (2, 3)
    assert 0 == level[1].max() < level[0, 0] < level[0, 1] < level[0, 2] == 255


def test_an_image_without_nuclei_has_an_empty_cell():
    none = FoundNuclei(
        np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros(0, np.uint16), ("",)
    )
    cells = Cells.of(none, (100, 100))
    assert (0, 0) in cells
    assert (1, 0) not in cells
    assert unpacked(cells.packed(0, 0))[0] == 0
