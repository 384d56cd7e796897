"""Geometries of GeoJSON, as QuPath counts pixels, and as the kit does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from transfer_kit.errors import UserError

CORNER = 0.5
"""QuPath counts pixel corners: the centre of the first pixel is (0.5, 0.5), here (0, 0)."""

_READ = ("Point", "MultiPoint", "Polygon", "MultiPolygon")
_CURVES = (
    *("CircularString", "CompoundCurve", "CurvePolygon", "MultiCurve", "MultiSurface"),
    *("Circle", "Ellipse", "Curve", "BezierCurve", "Arc"),
)
_FARTHEST_PX = 1e8
_DECIMALS = 9  # shifting there and back gives QuPath's own numbers again, not 0.09999999999999998


class _FaultError(Exception):
    """What is wrong with a geometry, and the mend, without the place."""


def geometry_of(geometry: Any, where: str) -> BaseGeometry:
    """Points or polygons in the kit's pixels; a ring that is not closed is closed.

    Holes and parts stay. A ring may cross itself.

    Raises:
        UserError: it is a line, a curve or a collection, empty, or has a position that is no two
            finite numbers; `where` names the feature.
    """
    try:
        return _shaped(geometry)
    except _FaultError as fault:
        raise UserError(f"{where} {fault}") from None


def geojson_of(geometry: BaseGeometry) -> dict[str, Any]:
    """The geometry as GeoJSON, in QuPath's pixels."""
    return dict(mapping(in_qupath(geometry)))


def in_qupath(geometry: BaseGeometry) -> BaseGeometry:
    """The geometry in QuPath's pixels, as it stands in a file."""
    return shapely.transform(geometry, lambda centres: np.round(centres + CORNER, _DECIMALS))


def foreign_members(geometry: Any) -> dict[str, Any]:
    """What QuPath adds to a geometry: its plane, and whether the polygon stands for an ellipse."""
    if not isinstance(geometry, Mapping):
        return {}
    return {k: v for k, v in geometry.items() if k not in ("type", "coordinates")}


def _shaped(geometry: Any) -> BaseGeometry:
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if not isinstance(kind, str):
        raise _FaultError("has no sound geometry; draw it anew in QuPath, or delete it.")
    if kind in _CURVES:
        raise _FaultError(f"is a {kind}, a curve, which GeoJSON has none of; save it as a polygon.")
    if kind not in _READ:
        raise _FaultError(f"is a {kind}, neither points nor a polygon; delete it or redraw it.")
    given = geometry.get("coordinates")
    if not isinstance(given, list) or not given:
        raise _FaultError(f"is a {kind} without coordinates; draw it anew, or delete it.")
    if kind == "Point":
        return shapely.Point(_positions([given])[0])
    if kind == "MultiPoint":
        return shapely.MultiPoint(_positions(given))
    if kind == "Polygon":
        return _polygon(given)
    return shapely.MultiPolygon([_polygon(part) for part in given])


def _polygon(rings: Any) -> shapely.Polygon:
    if not isinstance(rings, list) or not rings:
        raise _FaultError("is a polygon without corners; draw it anew, or delete it.")
    shell, *holes = (_ring(ring) for ring in rings)
    return shapely.Polygon(shell, holes)


def _ring(ring: Any) -> NDArray[np.float64]:
    positions = _positions(ring)
    if len(positions) < 3:
        raise _FaultError("has a ring of fewer than three corners; draw it anew, or delete it.")
    return positions


def _positions(given: Any) -> NDArray[np.float64]:
    """`(N, 2)` in the kit's pixels."""
    try:
        found = np.array(given)
    except ValueError:  # of unequal lengths
        found = np.array(None)
    # An integer beyond 64 bits makes an array of objects, a text one of texts.
    if found.dtype.kind not in "iuf" or found.ndim != 2 or found.shape[1] not in (2, 3):
        raise _FaultError(
            "has no sound geometry: a position in it is no pair of numbers; draw it anew in QuPath."
        )
    if not np.isfinite(found).all():
        raise _FaultError("has a coordinate that is no finite number; draw it anew.")
    if np.abs(found).max() > _FARTHEST_PX:
        raise _FaultError(
            f"has the coordinate {np.abs(found).max():.3g}, which is farther out than any slide; "
            "draw it anew."
        )
    if found.shape[1] == 3 and found[:, 2].any():
        raise _FaultError(
            "has three numbers a position, as longitude, latitude and height, where x and y in "
            "pixels are due; export it from QuPath."
        )
    return np.asarray(found[:, :2], np.float64) - CORNER
