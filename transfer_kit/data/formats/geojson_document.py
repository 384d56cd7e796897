"""The features of a GeoJSON file, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transfer_kit.data.formats.documents import load_json
from transfer_kit.data.formats.qupath_objects import uuid_of
from transfer_kit.errors import UserError

LARGEST_BYTES = 512 * 2**20
"""A file is read as a whole, into about six times its size of memory."""

_GEOMETRIES = (
    *("Point", "MultiPoint", "LineString", "MultiLineString"),
    *("Polygon", "MultiPolygon", "GeometryCollection"),
)


def features_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each feature is, in words, and the feature with its properties as a mapping.

    A file holds a FeatureCollection, an array of Features (and collections), one Feature, or a bare
    geometry. Objects that QuPath nests below others (`childObjects`) follow their parent.

    Raises:
        UserError: the file is missing, too large, cut short or no GeoJSON, an object says a thing
            twice, or two features have one id.
    """
    document, repeated = _parsed(path)
    ids: dict[str, str] = {}
    stack = [(f"feature {n}", f) for n, f in enumerate(_top_level(path, document), start=1)][::-1]
    while stack:
        name, feature = stack.pop()
        where = f"{path}, {name}"
        if not isinstance(feature, dict):
            raise UserError(f"{where} is no GeoJSON object; export the file again from QuPath.")
        if repeated:
            _refuse_repeated(where, feature, repeated)
        properties = feature.get("properties") or {}
        if not isinstance(properties, dict):
            raise UserError(f"{where}: its properties are no JSON object; export the file again.")
        _refuse_twice(name, where, feature.get("id"), ids)
        children, properties = _without_children(properties)
        yield where, {**feature, "properties": properties}
        numbered = enumerate(children, start=1)
        stack += [(f"{name}, child {n}", child) for n, child in numbered][::-1]


def _parsed(path: Path) -> tuple[Any, dict[int, tuple[dict[str, Any], str]]]:
    """The document, and by their identity the objects in it that say a key twice."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    if size > LARGEST_BYTES:
        raise UserError(
            f"{path} is {size / 2**20:,.0f} MB, more than the {LARGEST_BYTES // 2**20} MB that are "
            "read as labels; export only what lies in labelled regions, without measurements, or "
            "label tiles of the slide."
        )
    repeated: dict[int, tuple[dict[str, Any], str]] = {}

    def as_mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            # QuPath 0.5 writes an annotation's metadata twice, which does no harm.
            key = next((key for key, value in pairs if found[key] != value), None)
            if key is not None:
                repeated[id(found)] = (found, key)
        return found

    return load_json(path, as_mapping), repeated


def _top_level(path: Path, document: Any) -> Iterator[Any]:
    if isinstance(document, list):
        for item in document:
            inner = isinstance(item, dict) and item.get("type") == "FeatureCollection"
            yield from _top_level(path, item) if inner else (item,)
        return
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "Feature":
        yield document
        return
    if kind in _GEOMETRIES:
        yield {"type": "Feature", "geometry": document}
        return
    features = document.get("features") if kind == "FeatureCollection" else None
    if not isinstance(features, list):
        raise UserError(
            f"{path} holds no list of GeoJSON features; export the objects from QuPath as GeoJSON."
        )
    yield from features


def _without_children(properties: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    for key in ("childObjects", "children"):
        if isinstance(properties.get(key), list):
            return properties[key], {k: v for k, v in properties.items() if k != key}
    return [], properties


def _refuse_repeated(
    where: str, feature: dict[str, Any], repeated: Mapping[int, tuple[dict[str, Any], str]]
) -> None:
    stack: list[Any] = [feature]
    while stack:
        part = stack.pop()
        if id(part) in repeated:
            raise UserError(
                f"{where} says {repeated[id(part)][1]!r} twice and differently; delete one of the "
                "two, or export the file again."
            )
        stack += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()


def _refuse_twice(name: str, where: str, identifier: Any, ids: dict[str, str]) -> None:
    key = uuid_of(identifier)
    if key is None:
        return
    if key in ids:
        raise UserError(
            f"{where} has the id of {ids[key]} ({identifier}), as if two exports were joined or a "
            "nucleus were there twice; delete one of the two."
        )
    ids[key] = name
