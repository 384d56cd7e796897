"""A slide's nuclei as GeoJSON for QuPath, written as they come: millions in little memory."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.data.annotation import Points
from transfer_kit.data.formats.base import centres_of
from transfer_kit.data.formats.geojson_shapes import CORNER, in_qupath
from transfer_kit.data.formats.geojson_writer import default_color
from transfer_kit.data.provenance import CENTRE, DETECTED, ORIGIN, SCORE, Origin
from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei, SlideFacts

_CHUNK = 5_000
_WIDEST = 1 << 19  # of a slide in pixels, for which a table of whole numbers is made


def write_geojson(
    path: Path, found: FoundNuclei, facts: SlideFacts, *, features_per_file: int | None = None
) -> list[Path]:
    """Detections that QuPath opens by drag and drop, each with its score as a measurement.

    The features are those of `data.formats.write_geojson`, ids included: corners of pixels at
    integers, a nucleus its outline or a point, exact centres, the model that found it. Only a few
    thousand are in memory at a time.

    Args:
        path: Replaced as a whole.
        found: The nuclei.
        facts: For the model's name.
        features_per_file: Write `NAME-001.geojson`, `NAME-002.geojson` … with at most so many
            nuclei each, for viewers that cannot open one large file; numbered files beyond the
            last, left by an earlier call, are deleted.

    Raises:
        UserError: a file cannot be written.
    """
    if features_per_file is not None and features_per_file < 1:
        raise ValueError(f"a file holds one feature at least, but got {features_per_file=}")
    size = features_per_file or max(len(found), 1)
    starts = range(0, max(len(found), 1), size)
    paths = [path] if features_per_file is None else _numbered(path, len(starts))
    features = _Features(found, facts.model)
    with ExitStack() as stack:  # all are renamed after the last is written, or none is
        for part, start in zip(paths, starts, strict=True):
            temporary = stack.enter_context(replacing(part))
            with temporary.open("wb") as file:
                file.write(b'{"type": "FeatureCollection", "features": [')
                before = b""
                for texts in features.between(start, min(start + size, len(found))):
                    file.write(before + ", ".join(texts).encode("ascii"))
                    before = b", "
                file.write(b"]}")
    if features_per_file is not None:
        _delete_beyond(path, len(paths))
    return paths


def _numbered(path: Path, count: int) -> list[Path]:
    digits = max(3, len(str(count)))
    return [path.with_name(f"{path.stem}-{k:0{digits}}{path.suffix}") for k in range(1, count + 1)]


def _delete_beyond(path: Path, count: int) -> None:
    for other in path.parent.glob(f"*{path.suffix}"):
        begin, _, number = other.stem.rpartition("-")
        numbered = begin == path.stem and number.isdecimal() and len(number) >= 3
        if numbered and int(number) > count:
            other.unlink()


class _Features:
    """The text of each nucleus' feature, chunk by chunk.

    `repr` of a float is what `json.dumps` writes of it, so a number's text serves the file and the
    content that its id is made of.
    """

    def __init__(self, found: FoundNuclei, model: str) -> None:
        self._found = found
        self._shared = _share_a_place(found.points)
        self._taken: set[str] = set()
        kinds: list[dict[str, Any]] = [{"objectType": "detection"} for _ in found.classes]
        for properties, name in zip(kinds, found.classes, strict=True):
            if name:
                properties["classification"] = {"name": name, "color": list(default_color(name))}
        # All but the closing brace, for JSON and for Python's repr.
        self._json = [json.dumps(properties)[:-1] for properties in kinds]
        self._python = [repr(properties)[:-1] for properties in kinds]
        self._origin = json.dumps(str(Origin("model", model))) if model else ""
        self._named = [json.dumps(f"- {name}".strip())[2:] for name in found.classes]

    def between(self, start: int, stop: int) -> Iterator[list[str]]:
        """Features of nuclei `start` to `stop`, some thousand at a time."""
        for first in range(start, stop, _CHUNK):
            yield self._chunk(first, min(first + _CHUNK, stop))

    def _chunk(self, start: int, stop: int) -> list[str]:
        part = self._found.take(np.arange(start, stop))
        corners = part.points.astype(np.float64) + CORNER
        xs, ys = _texts(corners[:, 0]), _texts(corners[:, 1])
        points = zip(xs, ys, strict=True)
        shapes = [f'{{"type": "Point", "coordinates": [{x}, {y}]}}' for x, y in points]
        measured = [f'"{SCORE}": {score!r}' for score in part.scores.astype(np.float64).tolist()]
        if part.outlines is not None:
            there = np.flatnonzero(~shapely.is_missing(part.outlines))
            outlines: Any = part.outlines[there]
            drawn: Any = in_qupath(outlines)
            for k, shape in zip(there.tolist(), _geometries(drawn), strict=True):
                shapes[k] = shape
            for k in there[_moved(drawn, part.points[there])].tolist():
                measured[k] += f', "{CENTRE[0]}": {xs[k]}, "{CENTRE[1]}": {ys[k]}'
            corners[there] = shapely.get_coordinates(shapely.centroid(outlines)) + CORNER
        kinds = part.kinds.tolist()
        ids = self._distinct(_identifiers(self._contents(shapes, kinds, measured)), start)
        columns = zip(ids, shapes, kinds, measured, self._noted(corners, kinds), strict=True)
        return [
            f'{{"type": "Feature", "id": "{identifier}", "geometry": {shape}, '
            f'"properties": {self._json[kind]}, "measurements": {{{values}}}{noted}}}}}'
            for identifier, shape, kind, values, noted in columns
        ]

    def _contents(
        self, shapes: Sequence[str], kinds: Sequence[int], measured: Sequence[str]
    ) -> Iterator[str]:
        """What ids are made of: the Python of geometry and properties."""
        for shape, kind, values in zip(shapes, kinds, measured, strict=True):
            quoted = values.replace('"', "'")
            yield f"('{shape}', {self._python[kind]}, 'measurements': {{{quoted}}}}})"

    def _noted(self, corners: NDArray[np.float64], kinds: Sequence[int]) -> list[str]:
        """As `provenance.detection_metadata` says where and as what a nucleus was found."""
        if not self._origin:
            return [""] * len(kinds)
        before = f', "metadata": {{"{ORIGIN}": {self._origin}, "{DETECTED}": "'
        return [
            f"{before}{x:.2f} {y:.2f}{self._named[kind]}}}"
            for (x, y), kind in zip(corners.tolist(), kinds, strict=True)
        ]

    def _distinct(self, ids: list[str], start: int) -> list[str]:
        """Only nuclei at one place can have the same content, and so the same id."""
        for k in np.flatnonzero(self._shared[start : start + len(ids)]).tolist():
            if ids[k] in self._taken:
                ids[k] = _identifiers([repr((ids[k], start + k))])[0]
            self._taken.add(ids[k])
        return ids


def _share_a_place(points: Points) -> NDArray[np.bool_]:
    """Whether another nucleus has the same coordinates in the file."""
    corners = points.astype(np.float64) + CORNER
    order = np.lexsort(corners.T)
    same = (corners[order[1:]] == corners[order[:-1]]).all(axis=1)
    shared = np.zeros(len(points), np.bool_)
    shared[order[1:][same]] = shared[order[:-1][same]] = True
    return shared


def _identifiers(contents: Iterable[str]) -> list[str]:
    """`str(uuid.uuid5(uuid.NAMESPACE_URL, content))` of each, at a fifth of its time."""
    space, sha1 = uuid.NAMESPACE_URL.bytes, hashlib.sha1
    variant = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
    hexes = [sha1(space + c.encode(), usedforsecurity=False).hexdigest() for c in contents]
    return [f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{variant[h[16]]}{h[17:20]}-{h[20:32]}" for h in hexes]


def _moved(drawn: NDArray[Any], points: Points) -> NDArray[np.bool_]:
    """Whether a centre is not the centroid, as it will be read."""
    as_read = shapely.transform(drawn, lambda corners: corners - CORNER)
    return np.asarray((centres_of(list(as_read)) != points).any(axis=1))


def _geometries(shapes: NDArray[Any]) -> list[str]:
    """The GeoJSON of polygons and multipolygons."""
    if not len(shapes):
        return []
    kind, corners, offsets = shapely.to_ragged_array(shapes, include_z=False)
    xs, ys = _texts(corners[:, 0]), _texts(corners[:, 1])
    texts = [f"[{x}, {y}]" for x, y in zip(xs, ys, strict=True)]
    for bounds in offsets[:2]:  # corners to rings, rings to polygons
        texts = [f"[{', '.join(texts[a:b])}]" for a, b in pairwise(bounds.tolist())]
    if kind == shapely.GeometryType.POLYGON:
        return [f'{{"type": "Polygon", "coordinates": {text}}}' for text in texts]
    single = (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON).tolist()
    return [
        f'{{"type": "Polygon", "coordinates": {texts[a]}}}'
        if alone
        else f'{{"type": "MultiPolygon", "coordinates": [{", ".join(texts[a:b])}]}}'
        for alone, (a, b) in zip(single, pairwise(offsets[2].tolist()), strict=True)
    ]


def _texts(values: NDArray[np.float64]) -> list[str]:
    """`repr` of each; whole numbers, as corners of pixels are, from a table."""
    whole = len(values) > 0 and values.min() >= 0 and values.max() < _WIDEST
    if not whole or (values % 1).any():
        return list(map(repr, values.tolist()))
    return list(_whole_numbers(int(values.max()).bit_length())[values.astype(np.intp)])


@cache
def _whole_numbers(bits: int) -> NDArray[np.object_]:
    return np.array([repr(float(number)) for number in range(1 << bits)], object)
