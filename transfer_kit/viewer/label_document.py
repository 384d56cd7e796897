"""Labels as the page sends them, and as an Annotation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import numpy as np
import shapely
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from shapely.errors import ShapelyError
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import RegionNames
from transfer_kit.inference.outlines import outlines_of
from transfer_kit.viewer.refusal import Refused

MOST_NUCLEI = 50_000
"""Labels of one image that the page edits; each save sends all of them."""

_MOST_REGIONS = 2_000
_Coordinate = Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)]
_Name = Annotated[str, Field(max_length=100)]


class Nucleus(BaseModel):
    """One labelled nucleus; x, y and the outline's corners in pixels, pixel centres at integers."""

    model_config = ConfigDict(extra="forbid")

    x: _Coordinate
    y: _Coordinate
    name: _Name = ""
    outline: dict[str, Any] | None = None
    properties: dict[str, Any] = {}


class Region(BaseModel):
    """A labelled region, or with a name a weak label of area."""

    model_config = ConfigDict(extra="forbid")

    name: _Name | None = None
    outline: dict[str, Any]


class LabelDocument(BaseModel):
    """All labels of an image, and the version of its file that they were read from."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str, Field(max_length=100)]
    nuclei: Annotated[list[Nucleus], Field(max_length=MOST_NUCLEI)]
    regions: Annotated[list[Region], Field(max_length=_MOST_REGIONS)]


def parse_labels(body: bytes) -> LabelDocument:
    """The labels in a request.

    Raises:
        Refused: it is no JSON, or a field does not fit.
    """
    try:
        return LabelDocument.model_validate_json(body)
    except ValidationError as error:
        raise Refused(400, _in_words(error)) from error


def as_annotation(document: LabelDocument, names: RegionNames) -> Annotation:
    """The labels as they are written into the dataset.

    An outline that crosses itself is taken for the area that it encloses.

    Args:
        document: What the page sent.
        names: Which class names mean areas.

    Raises:
        Refused: an outline encloses nothing, or a nucleus is called as a region.
    """
    nuclei = document.nuclei
    for name in {nucleus.name for nucleus in nuclei}:
        if names.is_labelled(name) or name.casefold().startswith(names.prefix.casefold()):
            raise Refused(400, f"No nucleus can be of the class {name!r}, which means an area.")
    outlines = [None if n.outline is None else polygon_of(n.outline) for n in nuclei]
    regions = [(region.name, polygon_of(region.outline)) for region in document.regions]
    return Annotation(
        np.array([(n.x, n.y) for n in nuclei], np.float32).reshape(-1, 2),
        tuple(n.name for n in nuclei),
        outlines=tuple(outlines) if any(o is not None for o in outlines) else (),
        labelled_regions=tuple(drawn for name, drawn in regions if name is None),
        region_labels=tuple((_area(name), drawn) for name, drawn in regions if name is not None),
        properties=tuple(n.properties for n in nuclei),
    )


def as_document(annotation: Annotation) -> dict[str, Any]:
    """The labels for the page, without a version; of instances their outlines."""
    outlines: Iterable[BaseGeometry | None] = annotation.outlines
    if not annotation.outlines and annotation.instances is not None:
        outlines = outlines_of(annotation.instances, len(annotation))
    drawn = list(outlines) or [None] * len(annotation)
    kept: Iterable[Mapping[str, Any]] = annotation.properties or [{}] * len(annotation)
    nuclei = [
        {
            "x": x,
            "y": y,
            "name": name,
            "outline": None if outline is None else dict(mapping(outline)),
            "properties": dict(properties),
        }
        for (x, y), name, outline, properties in zip(
            annotation.points.tolist(), annotation.classes, drawn, kept, strict=True
        )
    ]
    regions = [(None, region) for region in annotation.labelled_regions]
    labels = [*regions, *annotation.region_labels]
    return {
        "nuclei": nuclei,
        "regions": [{"name": name, "outline": dict(mapping(region))} for name, region in labels],
    }


def _area(name: str) -> str:
    if not name.strip():
        raise Refused(400, "A region label needs a name, such as tumour.")
    return name.strip()


def polygon_of(outline: Any) -> BaseGeometry:
    """The area that an outline in a request encloses.

    Raises:
        Refused: it is no polygon, or encloses nothing.
    """
    try:
        drawn = shape(outline)
        sound = drawn.geom_type in ("Polygon", "MultiPolygon") and bool(
            np.isfinite(shapely.get_coordinates(drawn)).all()
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ShapelyError) as error:
        raise Refused(400, "An outline is no polygon; draw it anew.") from error
    if not sound:
        raise Refused(400, "An outline is no polygon; draw it anew.")
    if not drawn.is_valid:  # lines and points may be left over beside the areas
        mended = shapely.get_parts(shapely.make_valid(drawn, method="structure"))
        drawn = shapely.union_all([part for part in mended if part.area > 0])
    if drawn.area == 0:
        raise Refused(400, "An outline encloses nothing; draw it anew.")
    return drawn


def _in_words(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    said = first["msg"][:1].lower() + first["msg"][1:]
    return f"The labels cannot be read: {place + ': ' if place else ''}{said}."
