"""Reading GeoJSON as QuPath writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo, RegionNames, centres_of
from transfer_kit.data.formats.documents import load_json, peek
from transfer_kit.errors import UserError

CENTRE = ("Centre X px", "Centre Y px")
KEPT = "geojson"  # the key of `properties` under which a feature's own members are kept
_ENCLOSED = 5  # an unnamed annotation around this many nuclei is no nucleus
_NO_NUCLEUS = ("tile", "tma_core", "root")


class _Object(NamedTuple):
    """One nucleus or region of the file, in the kit's pixel coordinates."""

    number: int
    kind: str
    class_name: str
    geometry: BaseGeometry
    properties: dict[str, Any]


@dataclass(frozen=True)
class GeoJson:
    """QuPath counts pixel corners: the centre of the first pixel is (0.5, 0.5), here (0, 0).

    A Point, and each point of a MultiPoint, is a nucleus; so is a Polygon or MultiPolygon, with its
    centroid, and of a cell its `nucleusGeometry`. Classes that `regions` names are areas instead.
    Every other member of a feature stays in `Annotation.properties`: the feature's `properties`
    themselves, and its id and the like under "geojson", where the writer finds them.
    """

    regions: RegionNames = field(default_factory=RegionNames)
    name: str = "geojson"
    description: str = "QuPath GeoJSON: points, polygons, classes, labelled regions"

    def recognises(self, path: Path) -> bool:
        """A .geojson, or a .json that begins like one."""
        if path.suffix.lower() == ".geojson":
            return True
        head = "".join(peek(path, (".json",)).split())
        return '"type":"Feature' in head

    def images_of(self, path: Path) -> frozenset[str]:
        """None: a file serves one image."""
        return frozenset()

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """Nuclei and regions of all features.

        Raises:
            UserError: no GeoJSON, a feature without sound geometry, or an unnamed annotation that
                encloses nuclei; with the number of the feature, counted from 1.
        """
        (path,) = paths
        nuclei: list[_Object] = []
        labelled: list[BaseGeometry] = []
        labels: list[tuple[str, BaseGeometry]] = []
        for item in _objects(path):
            label = self.regions.label_of(item.class_name)
            if label is not None:
                labels.append((label, item.geometry))
            elif self.regions.is_labelled(item.class_name):
                labelled.append(item.geometry)
            else:
                nuclei.append(item)
        annotation = _annotation(nuclei, labelled, labels)
        _refuse_unnamed_regions(path, nuclei, annotation)
        return annotation


def _annotation(
    nuclei: Sequence[_Object],
    labelled: Sequence[BaseGeometry],
    labels: Sequence[tuple[str, BaseGeometry]],
) -> Annotation:
    outlines = tuple(n.geometry if n.geometry.geom_type != "Point" else None for n in nuclei)
    points = centres_of([n.geometry for n in nuclei])
    for k, item in enumerate(nuclei):
        stated = _stated_centre(item)
        if stated is not None and outlines[k] is not None:
            points[k] = stated
    return Annotation(
        points,
        tuple(n.class_name for n in nuclei),
        outlines=outlines if any(o is not None for o in outlines) else (),
        labelled_regions=tuple(labelled),
        region_labels=tuple(labels),
        properties=tuple(n.properties for n in nuclei),
    )


def _stated_centre(item: _Object) -> tuple[float, float] | None:
    """The detector's own centre, which the writer notes where it is not the outline's centroid."""
    measured = item.properties.get("measurements")
    if not isinstance(measured, dict) or not all(name in measured for name in CENTRE):
        return None
    try:
        x, y = (float(measured[name]) - 0.5 for name in CENTRE)
    except (TypeError, ValueError):
        return None
    # Outside the outline, someone has moved the outline since.
    return (x, y) if item.geometry.envelope.contains(shapely.Point(x, y)) else None


def _objects(path: Path) -> Iterator[_Object]:
    for number, feature in enumerate(_features(path), start=1):
        where = f"{path}, feature {number}"
        if not isinstance(feature, dict):
            raise UserError(f"{where} is no GeoJSON object; export the file again from QuPath.")
        properties = feature.get("properties") or {}
        if not isinstance(properties, dict):
            raise UserError(f"{where}: its properties are no JSON object; export the file again.")
        kind = _kind(feature, properties)
        if kind in _NO_NUCLEUS:
            continue
        members = {k: v for k, v in feature.items() if k not in ("geometry", "properties", "type")}
        geometry = feature.get("geometry")
        if isinstance(members.get("nucleusGeometry"), dict):
            geometry = members.pop("nucleusGeometry")
            members["cellGeometry"] = feature.get("geometry")
        kept = {**properties, **({KEPT: members} if members else {})}
        name = class_name_of(properties, where)
        for part in _nuclei_of(geometry, where):
            yield _Object(number, kind, name, part, kept)


def _features(path: Path) -> list[Any]:
    document = load_json(path)
    if isinstance(document, dict) and document.get("type") == "FeatureCollection":
        document = document.get("features")
    elif isinstance(document, dict) and document.get("type") == "Feature":
        document = [document]
    if not isinstance(document, list):
        raise UserError(
            f"{path} holds no list of GeoJSON features; export the objects from QuPath as GeoJSON."
        )
    return document


def _kind(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    """QuPath's object type; before 0.3 it stood in the id (PathDetectionObject)."""
    for key in ("objectType", "object_type"):
        if isinstance(properties.get(key), str):
            return str(properties[key]).lower()
    old = str(feature.get("id", ""))
    return old[4:-6].lower() if old.startswith("Path") and old.endswith("Object") else "annotation"


def class_name_of(properties: Mapping[str, Any], where: str) -> str:
    """The name of a feature's classification, "" without one; QuPath joins parts by ": ".

    Raises:
        UserError: the classification has another form; `where` names the feature.
    """
    classification = properties.get("classification") or {}
    if isinstance(classification, str):
        return classification
    if isinstance(classification, dict):
        parts = classification.get("names") or classification.get("name") or ""
        if isinstance(parts, str):
            return parts
        if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
            return ": ".join(parts)
    raise UserError(f"{where}: its classification has no name; export the file again from QuPath.")


def _nuclei_of(geometry: Any, where: str) -> list[BaseGeometry]:
    """Points one by one, or one polygon; shifted to pixel centres at integers."""
    try:
        drawn = shape(geometry)
        finite = bool(np.isfinite(shapely.get_coordinates(drawn)).all())
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ShapelyError) as error:
        raise UserError(f"{where} has no sound geometry; draw it anew in QuPath.") from error
    if drawn.geom_type not in ("Point", "MultiPoint", "Polygon", "MultiPolygon"):
        raise UserError(
            f"{where} is a {drawn.geom_type}, neither points nor a polygon; delete it or redraw it."
        )
    if not finite or drawn.is_empty:
        raise UserError(f"{where} has a coordinate that is no finite number; draw it anew.")
    moved = shapely.transform(drawn, lambda corners: corners - 0.5)
    return list(shapely.get_parts(moved)) if moved.geom_type == "MultiPoint" else [moved]


def _refuse_unnamed_regions(path: Path, nuclei: Sequence[_Object], annotation: Annotation) -> None:
    """A rectangle drawn to run a cell detection in would else count as one vast nucleus."""
    suspects = [
        k
        for k, n in enumerate(nuclei)
        if n.kind == "annotation" and n.geometry.geom_type != "Point"
    ]
    if not suspects or len(nuclei) <= _ENCLOSED:
        return
    centres = np.asarray(shapely.points(annotation.points.astype(np.float64))).tolist()
    tree = shapely.STRtree(centres)
    for k in suspects:
        item = nuclei[k]
        enclosed = np.count_nonzero(tree.query(item.geometry, predicate="contains") != k)
        if enclosed >= _ENCLOSED:
            raise UserError(
                f"{path}, feature {item.number}: this annotation encloses {enclosed} nuclei, so it "
                "is an area; give it the class 'Labelled region' if every nucleus in it is marked, "
                "or 'Region: NAME' for a weak label, or delete it."
            )
