"""The field of a slide with the most nuclei, as mitoses are counted."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from transfer_kit.data.annotation import Points
from transfer_kit.inference.found import SlideFacts
from transfer_kit.inference.outputs.columns import area_mm2

FIELD_MM2 = 2.0
EXACT_UP_TO = 5_000

_GRID_UM = 25.0
_CLOSE = 1 + 1e-9  # of the radius: a nucleus on the circle counts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HottestField:
    """A circle, and how many nuclei lie in it.

    Attributes:
        count: Its nuclei.
        x: Its centre in pixels of level 0, pixel centres at integers.
        y: The same, downwards.
        radius_um: Its radius.
        area_mm2: Its area.
        searched_mm2: How much of it was searched; less at the rim of the tissue.
        search: "exact", or the grid on which centres were tried.
    """

    count: int
    x: float
    y: float
    radius_um: float
    area_mm2: float
    searched_mm2: float
    search: str


def hottest_field(
    points: Points, facts: SlideFacts, *, field_mm2: float = FIELD_MM2
) -> HottestField | None:
    """The circle of `field_mm2` with the most of `points`; None where there are none.

    Up to 5,000 nuclei the search is exact: a fullest circle can be moved until a nucleus lies on
    it, so for each nucleus the circle is turned about it (Chazelle and Lee 1986). Beyond, centres
    on a grid of 25 µm are tried. The circle is then put about the middle of its nuclei.
    """
    if not len(points):
        return None
    radius = 1000 * float(np.sqrt(field_mm2 / np.pi))
    places = points.astype(np.float64) * facts.mpp
    tree = cKDTree(places)
    exact = len(points) <= EXACT_UP_TO
    near = _turned(places, tree, radius) if exact else _tried(places, radius)
    members = places[tree.query_ball_point(near, radius * _CLOSE)]
    centre = _middle(np.unique(members, axis=0))
    count = len(tree.query_ball_point(centre, radius * _CLOSE))
    x, y = (centre / facts.mpp).tolist()
    circle = shapely.Point(x, y).buffer(radius / facts.mpp, quad_segs=64)
    searched = area_mm2(circle.intersection(facts.searched), facts.mpp)
    search = "exact" if exact else f"centres on a grid of {_GRID_UM:g} µm"
    return HottestField(count, x, y, radius, field_mm2, searched, search)


def _middle(members: Floats) -> Floats:
    """Centre of the smallest circle about unlike places: none is farther from it than before."""
    if len(members) == 1:
        return np.asarray(members[0], np.float64)
    circle = shapely.minimum_bounding_circle(shapely.MultiPoint(members))
    return np.asarray(shapely.get_coordinates(circle.centroid)[0], np.float64)


def _turned(places: Floats, tree: cKDTree, radius: float) -> Floats:
    """Centre of a circle with the most places, found by turning it about each of them."""
    reach = 2 * radius * _CLOSE
    at_most = tree.query_ball_point(places, reach, return_length=True)
    best, centre = 0, np.asarray(places[0], np.float64)
    for k in np.argsort(-at_most, kind="stable").tolist():
        if at_most[k] <= best:
            break
        offsets = places[tree.query_ball_point(places[k], reach)] - places[k]
        count, angle = _fullest_angle(offsets, radius)
        if count > best:
            best = count
            centre = places[k] + radius * np.array([np.cos(angle), np.sin(angle)])
    return centre


def _fullest_angle(offsets: Floats, radius: float) -> tuple[int, float]:
    """Towards where the centre lies from a place on the circle, and how many are then inside.

    Args:
        offsets: From the place to each within a diameter `(N, 2)`, itself among them.
        radius: Of the circle.
    """
    distances = np.hypot(*offsets.T)
    apart = distances > 0
    if not apart.any():
        return len(offsets), 0.0
    half = np.arccos(np.minimum(distances[apart] / (2 * radius), 1))
    starts = (np.arctan2(*offsets[apart].T[::-1]) - half) % (2 * np.pi)
    ends = starts + 2 * half
    begun = np.sort(np.concatenate([starts, starts - 2 * np.pi]))
    ended = np.sort(np.concatenate([ends, ends - 2 * np.pi]))
    inside = np.searchsorted(begun, starts + 1e-9) - np.searchsorted(ended, starts - 1e-9)
    fullest = int(np.argmax(inside))
    return int(inside[fullest]) + int(np.count_nonzero(~apart)), float(starts[fullest])


def _tried(places: Floats, radius: float) -> Floats:
    """The best centre on a grid, each nucleus counted at the middle of its square."""
    corner = places.min(axis=0)
    columns, rows = ((places - corner) // _GRID_UM).astype(np.intp).T
    counts = np.zeros((rows.max() + 1, columns.max() + 1), np.float32)
    np.add.at(counts, (rows, columns), 1)
    reach = int(radius // _GRID_UM)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (np.hypot(x, y) * _GRID_UM <= radius).astype(np.float32)
    inside = cv2.filter2D(counts, -1, disc, borderType=cv2.BORDER_CONSTANT)
    row, column = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return np.asarray(corner + (np.array([column, row]) + 0.5) * _GRID_UM, np.float64)
