"""Writing GeoJSON that QuPath opens."""

from __future__ import annotations

import json
import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import RegionNames, centres_of
from transfer_kit.data.formats.geojson import GEOMETRY_MEMBERS, KEPT, MULTIPOINT, POSITION
from transfer_kit.data.formats.geojson_shapes import CORNER, geojson_of, geometry_of, in_qupath
from transfer_kit.data.formats.qupath_objects import NO_NUCLEUS, class_name_of, kind_of, uuid_of
from transfer_kit.data.provenance import CENTRE, ORIGIN, detection_metadata, places_of
from transfer_kit.data.provenance import SCORE as SCORE
from transfer_kit.files import replacing

Colour = tuple[int, int, int]
Feature = dict[str, Any]


def write_geojson(
    path: str | Path,
    annotation: Annotation,
    *,
    scores: Sequence[float] | None = None,
    model: str = "",
    color_of: Callable[[str], Colour] | None = None,
) -> None:
    """Write nuclei as QuPath detections and regions as annotations.

    What a reader kept in `annotation.properties` and `other_features` is put back; only the class
    follows `annotation.classes`. Coordinates are exact: float32 points come back as they were
    (above 1e-9 px). Ids that are missing are made from the content, the same each time.

    Args:
        path: Replaced as a whole. The text is ASCII, since QuPath on Windows may read no other.
        annotation: In the kit's pixel coordinates; QuPath's are half a pixel more.
        scores: One a nucleus, stored as the measurement "Detection score".
        model: The detector that found these nuclei, noted in each one's metadata.
        color_of: Red, green, blue of a class; by default a fixed colour from its name.

    Raises:
        UserError: the file cannot be written.
    """
    if scores is not None and len(scores) != len(annotation):
        raise ValueError(f"{len(annotation)} nuclei, but got {len(scores)} scores")
    color = color_of or default_color
    nuclei = _joined(list(_nucleus_features(annotation, scores, model, color)))
    features = _with_own_ids([*_other_features(annotation, color), *nuclei])
    with replacing(path) as temporary:
        text = json.dumps({"type": "FeatureCollection", "features": features})
        temporary.write_text(text, encoding="ascii")


def default_color(name: str) -> Colour:
    """QuPath's default for unknown classes is random; this is fixed by the name."""
    red, green, blue = zlib.crc32(name.encode()).to_bytes(4, "big")[:3]
    return (64 + red // 2, 64 + green // 2, 64 + blue // 2)


def _other_features(annotation: Annotation, color: Callable[[str], Colour]) -> Iterator[Feature]:
    """Regions, as the source had them where they are unchanged, and what else was in it."""
    names, known = RegionNames(), defaultdict[tuple[str | None, bytes], list[Feature]](list)
    for kept in annotation.other_features:
        feature = dict(kept)
        if kind_of(feature) in NO_NUCLEUS:
            yield feature
        else:
            label = names.label_of(class_name_of(feature["properties"], ""))
            known[label, geometry_of(feature["geometry"], "").wkb].append(feature)
    regions = [(None, names.labelled[0], region) for region in annotation.labelled_regions]
    labels = [(name, names.prefix + name, region) for name, region in annotation.region_labels]
    for label, name, region in (*regions, *labels):
        same = known[label, region.wkb]
        yield same.pop(0) if same else _region_feature(name, region, color)


def _region_feature(name: str, region: BaseGeometry, color: Callable[[str], Colour]) -> Feature:
    classification = {"name": name, "color": list(color(name))}
    properties = {"objectType": "annotation", "classification": classification, "isLocked": True}
    return _feature(geojson_of(region), properties, {})


def _nucleus_features(
    annotation: Annotation,
    scores: Sequence[float] | None,
    model: str,
    color: Callable[[str], Colour],
) -> Iterator[Feature]:
    outlines = annotation.outlines or (None,) * len(annotation)
    drawn = {k: in_qupath(o) for k, o in enumerate(outlines) if o is not None}
    # As they will be read, so that equal centres are not stated.
    as_read = [shapely.transform(o, lambda corners: corners - CORNER) for o in drawn.values()]
    centroids = dict(zip(drawn, centres_of(as_read).tolist(), strict=True))
    places = places_of(annotation) if model else np.zeros((len(annotation), 2))
    for k, (x, y) in enumerate(annotation.points.tolist()):
        properties = dict(annotation.properties[k]) if annotation.properties else {}
        members = properties.pop(KEPT, None)
        measured: dict[str, float] = {}
        if scores is not None:
            measured[SCORE] = float(scores[k])
        if k in centroids and (centroids[k] != [x, y] or _states_centre(properties)):
            measured.update(zip(CENTRE, (x + CORNER, y + CORNER), strict=True))
        if members is None:  # no GeoJSON before
            properties.setdefault("objectType", "detection")
        _set_class(properties, annotation.classes[k], color)
        _add_measurements(properties, measured)
        if model:
            noted = detection_metadata(model, places[k].tolist(), annotation.classes[k])
            old = properties.get("metadata")
            properties["metadata"] = {**(old if isinstance(old, dict) else {}), **noted}
        own = dict(members or {})
        position = own.pop(POSITION, None)
        shape = dict(mapping(drawn[k])) if k in drawn else _point(x, y, position)
        yield _feature(shape, properties, own)


def _states_centre(properties: Mapping[str, Any]) -> bool:
    measured = properties.get("measurements")
    return isinstance(measured, dict) and CENTRE[0] in measured


def _feature(shape: Feature, properties: dict[str, Any], members: dict[str, Any]) -> Feature:
    shape = {**shape, **members.pop(GEOMETRY_MEMBERS, {})}
    if isinstance(members.get("cellGeometry"), dict):
        members["nucleusGeometry"], shape = shape, members.pop("cellGeometry")
    content = {key: value for key, value in properties.items() if key != "metadata"}
    identifier = members.pop("id", None) or _identifier(json.dumps(shape), content)
    return {
        "type": "Feature",
        "id": identifier,
        "geometry": shape,
        **members,
        "properties": properties,
    }


def _point(x: float, y: float, position: Sequence[float] | None) -> dict[str, Any]:
    """A point that was not moved keeps the numbers it came with."""
    if position is not None and (np.float32(np.array(position[:2]) - CORNER) == (x, y)).all():
        return {"type": "Point", "coordinates": list(position)}
    return {"type": "Point", "coordinates": [x + CORNER, y + CORNER]}


def _joined(features: Sequence[Feature]) -> Iterator[Feature]:
    """Points that came as one MultiPoint are one again, unless they differ by now."""

    def source(numbered: tuple[int, Feature]) -> tuple[str, str]:
        k, feature = numbered
        if MULTIPOINT not in feature:
            return f"alone {k}", ""
        unlike = {key: v for key, v in feature["properties"].items() if key != ORIGIN}
        return feature[MULTIPOINT], json.dumps(unlike, sort_keys=True)

    for (number, _), group in groupby(enumerate(features), key=source):
        points = [feature for _, feature in group]
        for feature in points:
            feature.pop(MULTIPOINT, None)
        joined = points[0]
        if not number.startswith("alone"):
            coordinates = [feature["geometry"]["coordinates"] for feature in points]
            joined["geometry"] |= {"type": "MultiPoint", "coordinates": coordinates}
            origins = [feature["properties"].get(ORIGIN) for feature in points]
            if len(set(map(str, origins))) > 1:
                joined["properties"] = {**joined["properties"], ORIGIN: origins}
        yield joined


def _with_own_ids(features: Sequence[Feature]) -> list[Feature]:
    """QuPath wants each UUID once; parts of what was one feature came with the same."""
    taken: set[str] = set()
    for k, feature in enumerate(features):
        identifier = uuid_of(feature.get("id"))
        if identifier in taken:
            identifier = feature["id"] = _identifier(identifier, k)
        taken |= {identifier} if identifier else set()
    return list(features)


def _identifier(*content: object) -> str:
    """A version 5 UUID, as QuPath wants one, that is the same for the same content."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, repr(content)))


def _set_class(properties: dict[str, Any], name: str, color: Callable[[str], Colour]) -> None:
    """Leave a classification alone unless its name changed."""
    if class_name_of(properties, "") == name:
        return
    if name:
        properties["classification"] = {"name": name, "color": list(color(name))}
    else:
        properties.pop("classification", None)


def _add_measurements(properties: dict[str, Any], measured: Mapping[str, float]) -> None:
    """QuPath before 0.4 wrote a list of names and values, later ones a mapping."""
    if not measured:
        return
    old = properties.get("measurements")
    if isinstance(old, list):
        rest = [m for m in old if not (isinstance(m, dict) and m.get("name") in measured)]
        new: Any = rest + [{"name": name, "value": value} for name, value in measured.items()]
    else:
        new = {**(old if isinstance(old, dict) else {}), **measured}
    properties["measurements"] = new
