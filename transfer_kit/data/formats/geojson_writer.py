"""Writing GeoJSON that QuPath opens."""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import RegionNames, centres_of
from transfer_kit.data.formats.geojson import CENTRE, KEPT, class_name_of
from transfer_kit.files import replacing

Colour = tuple[int, int, int]

SCORE = "Detection score"


def write_geojson(
    path: str | Path,
    annotation: Annotation,
    *,
    scores: Sequence[float] | None = None,
    color_of: Callable[[str], Colour] | None = None,
) -> None:
    """Write nuclei as QuPath detections and regions as annotations.

    What a reader kept in `annotation.properties` is put back; only the class follows
    `annotation.classes`. Coordinates are exact: float32 points come back as they were (above
    1e-9 px). Ids that are missing are made from the content, the same each time.

    Args:
        path: Replaced as a whole.
        annotation: In the kit's pixel coordinates; QuPath's are half a pixel more.
        scores: One a nucleus, stored as the measurement "Detection score".
        color_of: Red, green, blue of a class; by default a fixed colour from its name.

    Raises:
        UserError: the file cannot be written.
    """
    if scores is not None and len(scores) != len(annotation):
        raise ValueError(f"{len(annotation)} nuclei, but got {len(scores)} scores")
    color = color_of or _color_of
    features = [*_region_features(annotation, color), *_nucleus_features(annotation, scores, color)]
    with replacing(path) as temporary:
        text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)
        temporary.write_text(text, encoding="utf-8")


def _color_of(name: str) -> Colour:
    """QuPath's default for unknown classes is random; this is fixed by the name."""
    red, green, blue = zlib.crc32(name.encode()).to_bytes(4, "big")[:3]
    return (64 + red // 2, 64 + green // 2, 64 + blue // 2)


def _region_features(
    annotation: Annotation, color: Callable[[str], Colour]
) -> Iterator[dict[str, Any]]:
    names = RegionNames()
    regions = [(names.labelled[0], region) for region in annotation.labelled_regions]
    regions += [(names.prefix + name, region) for name, region in annotation.region_labels]
    for name, region in regions:
        yield _feature(
            _as_geojson(region),
            {
                "objectType": "annotation",
                "classification": {"name": name, "color": list(color(name))},
                "isLocked": True,
            },
        )


def _nucleus_features(
    annotation: Annotation, scores: Sequence[float] | None, color: Callable[[str], Colour]
) -> Iterator[dict[str, Any]]:
    outlines = annotation.outlines or (None,) * len(annotation)
    drawn = {k: outline for k, outline in enumerate(outlines) if outline is not None}
    centroids = dict(zip(drawn, centres_of(list(drawn.values())).tolist(), strict=True))
    taken: set[str] = set()
    for k, (x, y) in enumerate(annotation.points.tolist()):
        kept = dict(annotation.properties[k]) if annotation.properties else {}
        members = dict(kept.pop(KEPT, {}))
        measured: dict[str, float] = {}
        if scores is not None:
            measured[SCORE] = float(scores[k])
        if k in centroids and (centroids[k] != [x, y] or _states_centre(kept)):
            measured.update(zip(CENTRE, (x + 0.5, y + 0.5), strict=True))
        kept.setdefault("objectType", "detection")
        _set_class(kept, annotation.classes[k], color)
        _add_measurements(kept, measured)
        place = _as_geojson(drawn[k]) if k in drawn else _point(x, y)
        feature = _feature(place, kept, members)
        if feature["id"] in taken:  # each nucleus of a MultiPoint came with the same id
            feature["id"] = _identifier(feature["id"], k)
        taken.add(feature["id"])
        yield feature


def _states_centre(properties: Mapping[str, Any]) -> bool:
    measured = properties.get("measurements")
    return isinstance(measured, dict) and CENTRE[0] in measured


def _feature(
    drawn: dict[str, Any], properties: dict[str, Any], members: dict[str, Any] | None = None
) -> dict[str, Any]:
    members = dict(members or {})
    identifier = members.pop("id", None) or _identifier(json.dumps(drawn), properties)
    if isinstance(members.get("cellGeometry"), dict):
        members["nucleusGeometry"], drawn = drawn, members.pop("cellGeometry")
    return {
        "type": "Feature",
        "id": identifier,
        "geometry": drawn,
        **members,
        "properties": properties,
    }


def _point(x: float, y: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [x + 0.5, y + 0.5]}


def _as_geojson(geometry: BaseGeometry) -> dict[str, Any]:
    moved = shapely.transform(geometry, lambda centres: centres + 0.5)
    return dict(mapping(moved))


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
