"""Detections out of GeoJSON, feature by feature: a million of them in little memory."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.data.formats import RegionNames
from transfer_kit.data.formats.base import centres_of
from transfer_kit.data.formats.documents import load_json, number, read_text
from transfer_kit.data.formats.qupath_objects import NO_NUCLEUS, class_name_of, kind_of
from transfer_kit.data.provenance import CENTRE, ORIGIN, SCORE, Origin
from transfer_kit.errors import UserError
from transfer_kit.inference.found import FoundNuclei

_BEGIN = re.compile(r'\s*(?:\{\s*"type"\s*:\s*"FeatureCollection"\s*,\s*"features"\s*:\s*)?\[\s*')
_LARGEST_BYTES = 2 * 2**30
_BETWEEN = re.compile(r"\s*(,|\])\s*")


def read_found_geojson(path: Path) -> tuple[FoundNuclei, str]:
    """The nuclei of a file of detections, and the name of the model that found them, if it says.

    Regions are left out, and where there are no scores all are 1.

    Raises:
        UserError: no GeoJSON, or a feature that is neither a point nor a polygon; with its number.
    """
    columns = _Columns()
    for position, feature in enumerate(_features(path), start=1):
        columns.add(feature, f"{path}, feature {position}")
    return columns.nuclei(path), columns.model


def _features(path: Path) -> Iterator[Any]:
    """One by one where the file begins as `predict` and QuPath write it, else all at once."""
    if path.stat().st_size > _LARGEST_BYTES:
        raise UserError(f"{path} is larger than 2 GB; predict it as GeoParquet, which is smaller.")
    text = read_text(path)
    begin = _BEGIN.match(text)
    if begin is None:
        yield from _all_features(path)
        return
    decoder, at = json.JSONDecoder(), begin.end()
    going_on = text[at : at + 1] != "]"
    while going_on:
        try:
            feature, at = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            feature = None
        after = _BETWEEN.match(text, at) if feature is not None else None
        if after is None:
            load_json(path)  # says what is wrong, and in which line
            raise UserError(f"{path} holds something else than features; export it again.")
        yield feature
        at, going_on = after.end(), after[1] == ","


def _all_features(path: Path) -> list[Any]:
    document = load_json(path)
    if isinstance(document, dict):
        document = document.get("features", [document])
    if not isinstance(document, list):
        raise UserError(f"{path} holds no list of GeoJSON features; export the detections again.")
    return document


class _Columns:
    """What features say, gathered into columns, in the file's coordinates."""

    def __init__(self) -> None:
        self.regions, self.model = RegionNames(), ""
        self.centres, self.scores, self.kinds = array("d"), array("d"), array("H")
        self.numbers: dict[str, int] = {}
        # Outlines as ragged arrays: whose, the ends of their polygons, of rings and of corners.
        self.owner: list[int] = []
        self.polygon_ends, self.ring_ends, self.corner_ends = [0], [0], [0]
        self.corners = array("d")
        self.without_centre: list[int] = []

    def add(self, feature: Any, where: str) -> None:
        """One feature, unless it is a region."""
        properties = feature.get("properties") or {} if isinstance(feature, dict) else None
        if not isinstance(properties, dict):
            raise UserError(f"{where} is no GeoJSON object; export the file again.")
        name = class_name_of(properties, where)
        is_region = self.regions.is_labelled(name) or self.regions.label_of(name) is not None
        if is_region or kind_of(feature) in NO_NUCLEUS:
            return
        self.model = self.model or _model_of(properties)
        measured = _measured(properties.get("measurements"))
        score = number(measured.get(SCORE, 1.0), where)
        kind = self.numbers.setdefault(name, len(self.numbers))
        geometry = feature.get("nucleusGeometry") or feature.get("geometry")
        for place in self._places(geometry, measured, where):
            self.centres.extend(place)
            self.scores.append(score)
            self.kinds.append(kind)

    def _places(
        self, geometry: Any, measured: Mapping[str, Any], where: str
    ) -> list[tuple[float, float]]:
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        drawn = geometry.get("coordinates") if kind else None
        if kind in ("Point", "MultiPoint") and isinstance(drawn, list):
            return [_pair(each, where) for each in ([drawn] if kind == "Point" else drawn)]
        if kind not in ("Polygon", "MultiPolygon") or not isinstance(drawn, list) or not drawn:
            raise UserError(f"{where} is neither a point nor a polygon; delete or redraw it.")
        self.owner.append(len(self.scores))
        for rings in [drawn] if kind == "Polygon" else drawn:
            self._add_polygon(rings, where)
        self.polygon_ends.append(len(self.ring_ends) - 1)
        if all(name in measured for name in CENTRE):
            return [_pair([measured[name] for name in CENTRE], where)]
        self.without_centre.append(len(self.scores))
        return [(0.0, 0.0)]

    def _add_polygon(self, rings: Any, where: str) -> None:
        drawn: list[Any] = rings if isinstance(rings, list) else [None]
        for ring in drawn:
            before = len(self.corners)
            try:
                self.corners.extend(chain.from_iterable(corner[:2] for corner in ring))
                sound = len(self.corners) - before == 2 * len(ring) >= 8
            except (TypeError, KeyError):
                sound = False
            if not sound:
                raise UserError(f"{where} has an outline without sound corners; draw it anew.")
            self.corner_ends.append(len(self.corners) // 2)
        self.ring_ends.append(len(self.corner_ends) - 1)

    def nuclei(self, path: Path) -> FoundNuclei:
        """All of them, in the kit's coordinates."""
        points = np.array(self.centres).reshape(-1, 2) - 0.5
        outlines = self._outlines(len(points)) if self.owner else None
        if outlines is not None and self.without_centre:
            points[self.without_centre] = centres_of(outlines[self.without_centre].tolist())
        if not (np.isfinite(points).all() and np.isfinite(self.corners).all()):
            raise UserError(f"{path} has a coordinate that is no finite number; export it again.")
        return FoundNuclei(
            points.astype(np.float32),
            np.array(self.scores, np.float32),
            np.array(self.kinds, np.uint16),
            tuple(self.numbers) or ("",),
            outlines,
        )

    def _outlines(self, count: int) -> NDArray[Any]:
        ends = [np.array(part) for part in (self.corner_ends, self.ring_ends, self.polygon_ends)]
        corners = np.array(self.corners).reshape(-1, 2) - 0.5
        many = shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, corners, tuple(ends))
        single = shapely.get_num_geometries(many) == 1
        many[single] = shapely.get_geometry(many[single], 0)
        outlines = np.empty(count, object)
        outlines[self.owner] = many
        return outlines


def _pair(values: Sequence[Any], where: str) -> tuple[float, float]:
    if not isinstance(values, list) or len(values) < 2:
        raise UserError(f"{where} has no x and y; export the file again.")
    return number(values[0], where), number(values[1], where)


def _model_of(properties: Mapping[str, Any]) -> str:
    metadata = properties.get("metadata")
    said = metadata.get(ORIGIN) if isinstance(metadata, dict) else properties.get(ORIGIN)
    origin = Origin.read(said)
    return origin.model if origin is not None else ""


def _measured(measurements: Any) -> Mapping[str, Any]:
    """QuPath before 0.4 wrote a list of names and values."""
    if isinstance(measurements, list):
        pairs = (each for each in measurements if isinstance(each, dict))
        return {str(each.get("name")): each.get("value") for each in pairs}
    return measurements if isinstance(measurements, dict) else {}
