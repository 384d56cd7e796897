"""Reading GeoJSON as QuPath writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo, RegionNames, centres_of
from transfer_kit.data.formats.documents import peek
from transfer_kit.data.formats.geojson_document import features_of
from transfer_kit.data.formats.geojson_shapes import CORNER, foreign_members, geometry_of
from transfer_kit.data.formats.image_bounds import refuse_all_outside
from transfer_kit.data.formats.qupath_objects import NO_NUCLEUS, class_name_of, kind_of
from transfer_kit.data.provenance import CENTRE as CENTRE
from transfer_kit.data.provenance import ORIGIN
from transfer_kit.errors import UserError

KEPT = "geojson"  # the key of `properties` under which a feature's own members are kept
GEOMETRY_MEMBERS = "geometryMembers"  # of KEPT: QuPath's additions to the geometry
POSITION = "position"  # of KEPT: a point's own numbers, which float32 would round
MULTIPOINT = "multiPoint"  # of KEPT: which feature with several points this one is of
_ENCLOSED = 5  # an unnamed annotation around this many nuclei is no nucleus


class _Object(NamedTuple):
    """One nucleus or region of the file, in the kit's pixel coordinates."""

    where: str
    kind: str
    class_name: str
    geometry: BaseGeometry
    properties: dict[str, Any]


@dataclass(frozen=True)
class GeoJson:
    """QuPath counts pixel corners: the centre of the first pixel is (0.5, 0.5), here (0, 0).

    A Point, and each point of a MultiPoint, is a nucleus; so is a Polygon or MultiPolygon, with its
    centroid, and of a cell its `nucleusGeometry`. Classes that `regions` names are areas instead.

    Nothing is lost: a nucleus keeps its feature's `properties` in `Annotation.properties`, with the
    id and the like under "geojson"; regions, tiles and cores stay in `Annotation.other_features`.
    The writer puts all of them back. Objects nested in others come out side by side.
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
            UserError: no GeoJSON, a feature without sound geometry, an unnamed annotation that
                encloses nuclei, or nothing inside the image; with the number of the feature,
                counted from 1.
        """
        (path,) = paths
        nuclei: list[_Object] = []
        labelled: list[BaseGeometry] = []
        labels: list[tuple[str, BaseGeometry]] = []
        others: list[dict[str, Any]] = []
        for where, feature in features_of(path):
            name = _class_name(feature, where)
            if kind_of(feature) in NO_NUCLEUS:
                others.append(feature)
            elif (label := self.regions.label_of(name)) is not None:
                labels.append((label, _area(feature, where, name)))
                others.append(feature)
            elif self.regions.is_labelled(name):
                labelled.append(_area(feature, where, name))
                others.append(feature)
            else:
                nuclei += _nuclei(feature, where, name)
        annotation = _annotation(nuclei, labelled, labels, others)
        refuse_all_outside(path, annotation, image)
        _refuse_unnamed_regions(nuclei, annotation)
        return annotation


def _class_name(feature: Mapping[str, Any], where: str) -> str:
    name = class_name_of(feature["properties"], where)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{where}: its class {name!r} has half of a character; rename the class in QuPath."
        ) from None
    return name


def _area(feature: Mapping[str, Any], where: str, name: str) -> BaseGeometry:
    area = geometry_of(feature.get("geometry"), where)
    if area.area == 0 and shapely.make_valid(area).area == 0:  # a bow tie's halves cancel
        raise UserError(
            f"{where} has the class {name!r}, which means an area, but encloses none; draw an area "
            "there, or give it another class."
        )
    return area


def _nuclei(feature: Mapping[str, Any], where: str, name: str) -> Iterator[_Object]:
    """The nucleus of a feature; of a MultiPoint each of its points."""
    known = ("geometry", "properties", "type")
    kept = {key: value for key, value in feature.items() if key not in known}
    drawn: Any = feature.get("geometry")
    if isinstance(kept.get("nucleusGeometry"), dict):
        drawn, kept["cellGeometry"] = kept.pop("nucleusGeometry"), drawn
    geometry = geometry_of(drawn, where)
    if foreign := foreign_members(drawn):
        kept[GEOMETRY_MEMBERS] = foreign
    if geometry.geom_type == "MultiPoint":
        kept[MULTIPOINT] = where.rpartition(", feature ")[2]
    origins = feature["properties"].get(ORIGIN)
    for k, part in enumerate(_points_apart(geometry)):
        properties = {**feature["properties"]}
        if isinstance(origins, list) and k < len(origins):  # one each of a MultiPoint
            properties[ORIGIN] = origins[k]
        own = dict(kept)
        if part.geom_type == "Point":
            own[POSITION] = _position(drawn, k)
        properties[KEPT] = own
        yield _Object(where, kind_of(feature), name, part, properties)


def _points_apart(geometry: BaseGeometry) -> list[BaseGeometry]:
    return list(shapely.get_parts(geometry)) if geometry.geom_type == "MultiPoint" else [geometry]


def _position(drawn: Mapping[str, Any], k: int) -> list[float]:
    given = drawn["coordinates"]
    return list(given if drawn["type"] == "Point" else given[k])


def _annotation(
    nuclei: Sequence[_Object],
    labelled: Sequence[BaseGeometry],
    labels: Sequence[tuple[str, BaseGeometry]],
    others: Sequence[dict[str, Any]],
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
        other_features=tuple(others),
    )


def _stated_centre(item: _Object) -> tuple[float, float] | None:
    """The detector's own centre, which the writer notes where it is not the outline's centroid."""
    measured = item.properties.get("measurements")
    if not isinstance(measured, dict) or not all(name in measured for name in CENTRE):
        return None
    try:
        x, y = (float(measured[name]) - CORNER for name in CENTRE)
    except (OverflowError, TypeError, ValueError):
        return None
    # Outside the outline, someone has moved the outline since.
    return (x, y) if item.geometry.envelope.contains(shapely.Point(x, y)) else None


def _refuse_unnamed_regions(nuclei: Sequence[_Object], annotation: Annotation) -> None:
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
        area = shapely.make_valid(item.geometry)
        enclosed = np.count_nonzero(tree.query(area, predicate="contains") != k)
        if enclosed >= _ENCLOSED:
            raise UserError(
                f"{item.where}: this annotation encloses {enclosed} nuclei, so it "
                "is an area; give it the class 'Labelled region' if every nucleus in it is marked, "
                "or 'Region: NAME' for a weak label, or delete it."
            )
