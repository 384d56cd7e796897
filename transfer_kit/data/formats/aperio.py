"""Aperio ImageScope XML, as in MoNuSeg and Kumar's set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element  # the type only; parsing is defusedxml's

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo, RegionNames, centres_of, ellipse_in
from transfer_kit.data.formats.documents import load_xml, number, peek
from transfer_kit.errors import UserError

_RECTANGLE, _ELLIPSE = "1", "2"  # Region/@Type; all others are drawn by their vertices


@dataclass(frozen=True)
class Aperio:
    """Layers (`Annotation`) of regions; a region is one nucleus with its centroid as centre.

    ImageScope counts pixel corners, so .5 is subtracted. Measured on the two published XML files
    of MoNuSeg: the polygons lie darkest on the image when moved by (-.78, -.13) px on average,
    which agrees with -.5; the label images that go round with the set sit at -1.0, since the
    script that drew them took the coordinates to count from 1 (half a pixel, .12 µm, apart).

    A layer's name, else its description, else its attribute's name, is the class. One vertex is a
    point; a rectangle or ellipse may be given by two corners; what encloses nothing else (two
    vertices of a stray click, arrows, rulers) is left out.
    """

    regions: RegionNames = field(default_factory=RegionNames)
    name: str = "aperio"
    description: str = "Aperio ImageScope XML: a polygon a nucleus, a layer a class (MoNuSeg)"

    def recognises(self, path: Path) -> bool:
        """An XML whose root is `Annotations`."""
        return "<Annotations" in peek(path, (".xml",))

    def images_of(self, path: Path) -> frozenset[str]:
        """None: a file serves one image."""
        return frozenset()

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """Nuclei of all layers, regions from those whose names say so.

        Raises:
            UserError: no sound XML, or a vertex without finite X and Y; names layer and region.
        """
        (path,) = paths
        root = load_xml(path)
        if root.tag != "Annotations":
            raise UserError(f"{path} begins with <{root.tag}>, not <Annotations>; export it again.")
        nuclei: list[BaseGeometry] = []
        classes: list[str] = []
        labelled: list[BaseGeometry] = []
        labels: list[tuple[str, BaseGeometry]] = []
        for layer in root.iter("Annotation"):
            name = _class_of(layer)
            shapes = _shapes(layer, path)
            label = self.regions.label_of(name)
            if label is not None:
                labels.extend((label, shape) for shape in shapes)
            elif self.regions.is_labelled(name):
                labelled.extend(shapes)
            else:
                nuclei.extend(shapes)
                classes.extend([name] * len(shapes))
        outlines = tuple(None if n.geom_type == "Point" else n for n in nuclei)
        return Annotation(
            centres_of(nuclei),
            tuple(classes),
            outlines=outlines if any(o is not None for o in outlines) else (),
            labelled_regions=tuple(labelled),
            region_labels=tuple(labels),
        )


def _class_of(layer: Element) -> str:
    attributes = layer.findall("./Attributes/Attribute")
    stated = [layer.get("Name", ""), *(a.get("Value", "") for a in attributes)]
    stated += [a.get("Name", "") for a in attributes if a.get("Name") != "Description"]
    return next((text.strip() for text in stated if text.strip()), "")


def _shapes(layer: Element, path: Path) -> list[BaseGeometry]:
    shapes = []
    for region in layer.iter("Region"):
        where = f"{path}, layer {layer.get('Id', '?')}, region {region.get('Id', '?')}"
        stated = [vertex.get(axis) for vertex in region.iter("Vertex") for axis in ("X", "Y")]
        corners = np.array([number(value, where) for value in stated]).reshape(-1, 2)
        shape = _shape(corners - 0.5, region.get("Type", "0"))
        if shape is not None:
            shapes.append(shape)
    return shapes


def _shape(vertices: NDArray[np.float64], kind: str) -> BaseGeometry | None:
    if len(vertices) == 1:
        return shapely.Point(vertices[0])
    if len(vertices) == 2 and kind in (_RECTANGLE, _ELLIPSE):
        box = shapely.box(*vertices.min(axis=0), *vertices.max(axis=0))
        return box if kind == _RECTANGLE else ellipse_in(*box.bounds)
    return shapely.Polygon(vertices) if len(vertices) > 2 else None
