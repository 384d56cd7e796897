"""iPhoto-Draw XML, as in the glioblastoma set of 40 images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element  # the type only; parsing is defusedxml's

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo, centres_of, ellipse_in
from transfer_kit.data.formats.documents import load_xml, number, peek
from transfer_kit.errors import UserError

_SEED_PX = 10.0
_OUTLINES = ("Polygon", "SmoothPolygon")


@dataclass(frozen=True)
class IPhotoDraw:
    """Ovals and polygons of a drawing; each is one nucleus.

    An oval's `Extent` X, Y is its top-left corner, so its centre is X + Width / 2. Ovals up to
    10 px wide are marks of a centre, larger ones and polygons are outlines. Coordinates have pixel
    centres at integers already (the drawing library's habit): in the 24 glioblastoma images the
    marks lie darkest at (+3.97, +4.39) px from their corner, which is the centre of an 8 px oval
    without the -.5 of corner coordinates, and the contours of five of them agree with the marks to
    (.2, -.5) px. A layer named by hand is the class; "Layer1" and the like are not. Lines and text
    are notes and left out.
    """

    name: str = "iphotodraw"
    description: str = "iPhoto-Draw XML: ovals as centres, polygons as outlines"

    def recognises(self, path: Path) -> bool:
        """An XML whose root is `Document` with iPhoto-Draw's export settings."""
        head = peek(path, (".xml",))
        return "<Document" in head and "<ExportImageSettings" in head

    def images_of(self, path: Path) -> frozenset[str]:
        """None: a file serves one image."""
        return frozenset()

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """Nuclei of all layers.

        Raises:
            UserError: no sound XML, a size below 0, or a coordinate that is no finite number.
        """
        (path,) = paths
        shapes: list[BaseGeometry] = []
        classes: list[str] = []
        count = 0
        for layer in load_xml(path).iter("Layer"):
            name = layer.get("Name", "")
            for drawn in layer.iter("Shape"):
                count += 1
                shape = _shape(drawn, f"{path}, shape {count}")
                if shape is not None:
                    shapes.append(shape)
                    classes.append("" if re.fullmatch(r"(?i)layer ?\d*", name) else name)
        outlines = tuple(None if s.geom_type == "Point" else s for s in shapes)
        return Annotation(
            centres_of(shapes),
            tuple(classes),
            outlines=outlines if any(o is not None for o in outlines) else (),
        )


def _shape(drawn: Element, where: str) -> BaseGeometry | None:
    kind = drawn.get("Type", "")
    if kind in ("Oval", "Rectangle"):
        return _in_extent(drawn.find("./Data/Extent"), kind, where)
    if kind not in _OUTLINES:
        return None
    corners = [
        [number(point.get(axis), where) for axis in ("X", "Y")]
        for point in drawn.iterfind("./Data/Points/Point")
    ]
    if len(corners) < 3:
        raise UserError(f"{where}: a polygon needs 3 corners, but has {len(corners)}; redraw it.")
    return shapely.Polygon(np.array(corners))


def _in_extent(extent: Element | None, kind: str, where: str) -> BaseGeometry:
    if extent is None:
        raise UserError(f"{where}: an {kind.lower()} without an Extent; redraw it.")
    x, y, width, height = (number(extent.get(k), where) for k in ("X", "Y", "Width", "Height"))
    if width < 0 or height < 0:
        raise UserError(f"{where}: its size is {width:g} x {height:g}, below 0; redraw it.")
    if max(width, height) <= _SEED_PX:
        return shapely.Point(x + width / 2, y + height / 2)
    box = (x, y, x + width, y + height)
    return ellipse_in(*box) if kind == "Oval" else shapely.box(*box)
