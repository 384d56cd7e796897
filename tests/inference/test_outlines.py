from __future__ import annotations

import numpy as np
import pytest
import shapely
from drawn_instances import scattered_discs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from transfer_kit.data.filling import pixels_in
from transfer_kit.inference.outlines import outlines_of


def filled(outlines, size):
    instances = np.zeros(size, np.int32)
    for number, outline in enumerate(outlines, start=1):
        if outline is not None:
            instances[pixels_in(outline, size)] = number
    return instances


def test_an_outline_runs_along_the_edges_of_the_pixels():
    """The corners of a pixel lie half a pixel from its centre.

        x   1   2   3
    y 2     # - # - .      pixels (1, 2), (2, 2) and (1, 3)
    y 3     # - .
    """
    instances = np.zeros((6, 6), np.int32)
    instances[2, 1:3] = instances[3, 1] = 1
    (outline,) = outlines_of(instances, 1)
    corners = [(0.5, 1.5), (2.5, 1.5), (2.5, 2.5), (1.5, 2.5), (1.5, 3.5), (0.5, 3.5)]
    assert outline.equals(shapely.Polygon(corners))
    assert shapely.get_num_coordinates(outline) == 7


@given(
    instances=arrays(
        np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4)
    )
)
@settings(deadline=None, max_examples=200)
def test_filling_gives_the_instances_back_whatever_their_shape(instances):
    outlines = outlines_of(instances, 4)
    assert np.array_equal(filled(outlines, instances.shape), instances)
    for number, outline in enumerate(outlines, start=1):
        pixels = np.argwhere(instances == number)
        if not len(pixels):
            assert outline is None
            continue
        assert outline.is_valid
        assert outline.area == len(pixels)
        centre = np.array(outline.centroid.coords[0])
        assert np.allclose(centre, pixels[:, ::-1].mean(axis=0))


@pytest.mark.parametrize("seed", range(3))
def test_touching_nuclei_share_their_edge_and_nothing_more(seed):
    instances = scattered_discs(seed, count=60)
    outlines = outlines_of(instances, int(instances.max()))
    assert np.array_equal(filled(outlines, instances.shape), instances)
    union = shapely.union_all([outline for outline in outlines if outline is not None])
    assert union.area == np.count_nonzero(instances)


def test_a_hole_is_an_interior_ring_and_an_island_in_it_a_piece():
    instances = np.zeros((9, 9), np.int32)
    instances[1:8, 1:8] = 1
    instances[2:7, 2:7] = 0
    instances[4, 4] = 1
    (outline,) = outlines_of(instances, 1)
    assert outline.geom_type == "MultiPolygon"
    assert sorted(len(part.interiors) for part in outline.geoms) == [0, 1]
    assert outline.area == 49 - 25 + 1


def test_pieces_that_touch_at_a_corner_are_pieces_of_one_valid_outline():
    (outline,) = outlines_of(np.eye(3, dtype=np.int32), 1)
    assert outline.geom_type == "MultiPolygon"
    assert len(outline.geoms) == 3
    assert outline.is_valid


def test_a_ring_of_pixels_that_touch_at_corners_does_not_hold_what_it_encloses():
    instances = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]], np.int32)
    ring, inside = outlines_of(instances, 2)
    assert (ring.area, inside.area) == (4, 1)
    assert np.array_equal(filled((ring, inside), (3, 3)), instances)


def test_an_instance_that_fills_the_map_is_its_border():
    (outline,) = outlines_of(np.ones((3, 5), np.int32), 1)
    assert outline.equals(shapely.box(-0.5, -0.5, 4.5, 2.5))


def test_without_instances_there_are_no_outlines():
    assert outlines_of(np.zeros((4, 5), np.int32), 2) == (None, None)
    assert outlines_of(np.zeros((4, 5), np.int32), 0) == ()
