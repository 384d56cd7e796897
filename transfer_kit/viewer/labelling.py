"""Labels of the images as the page reads and saves them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import shapely
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from shapely.geometry import mapping

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import RegionNames
from transfer_kit.data.provenance import ORIGIN, SCORE, Origin
from transfer_kit.errors import UserError
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.viewer.detections import Detections
from transfer_kit.viewer.label_cutting import cut_out, stem_of
from transfer_kit.viewer.label_document import (
    MOST_NUCLEI,
    as_annotation,
    as_document,
    parse_labels,
    polygon_of,
)
from transfer_kit.viewer.label_file import Colour
from transfer_kit.viewer.palette import AREA, LABELLED, Palette
from transfer_kit.viewer.pictures import Pictures
from transfer_kit.viewer.refusal import Refused


class Wanted(BaseModel):
    """Which detections become labels: those in an area, from a score on, but in hidden classes."""

    model_config = ConfigDict(extra="forbid")

    outline: dict[str, Any]
    threshold: float = Field(allow_inf_nan=False)
    hidden: list[int] = Field([], max_length=1000)


class Labelling:
    """The labels of each image; none is kept here, the files are the truth."""

    def __init__(self, pictures: Pictures, detections: Detections, palette: Palette) -> None:
        self._pictures, self._detections, self._palette = pictures, detections, palette

    def document(self, number: int) -> dict[str, Any]:
        """Labels, their version, and whether and where they are saved.

        Raises:
            Refused: the image is not in the list.
            UserError: its labels cannot be read.
        """
        shown = self._pictures.shown(number)
        version = shown.labels.version
        annotation = shown.labels.read(self._pictures.info(number))
        found = as_document(annotation) if annotation is not None else _NOTHING
        read_only = shown.labels.read_only
        if len(found["nuclei"]) > MOST_NUCLEI:
            read_only = (
                f"This image has {len(found['nuclei']):,} labels; up to {MOST_NUCLEI:,} can be "
                "changed here."
            )
            found = {**found, "nuclei": []}
        return {
            **found,
            "version": version,
            "read_only": read_only,
            "file": shown.labels.path.name,
            "note": shown.note,
            "classes": self._colours(annotation),
        }

    def save(self, number: int, body: bytes) -> dict[str, Any]:
        """Write what the page sent and give back its version, and the regions as they are kept.

        What went wrong in cutting regions out is told under "fault", since the labels are kept.

        Raises:
            Refused: the labels cannot be understood or changed, or were changed elsewhere.
            UserError: a file cannot be written.
        """
        shown = self._pictures.shown(number)
        document = parse_labels(body)
        labels = as_annotation(document, shown.labels.names)
        version = shown.labels.save(
            labels,
            self._pictures.info(number),
            version=document.version,
            color_of=partial(self._colour_in_file, names=shown.labels.names),
        )
        cut, fault = 0, ""
        try:
            cut = self._cut(number, labels)
        except (Refused, UserError) as error:  # the labels themselves are saved by now
            fault = str(error)
        kept = {True: list(labels.labelled_regions), False: [r for _, r in labels.region_labels]}
        outlines = [dict(mapping(kept[r.name is None].pop(0))) for r in document.regions]
        return {"version": version, "outlines": outlines, "cut": cut, "fault": fault}

    def accepted(self, number: int, body: bytes) -> list[dict[str, Any]]:
        """Detections in an area, as labels that say which model they come from.

        Raises:
            Refused: the request cannot be understood, or there are none or too many.
            UserError: the detections cannot be read.
        """
        try:
            wanted = Wanted.model_validate_json(body)
        except ValidationError as error:
            raise Refused(400, "It is not understood which detections are meant.") from error
        layer = self._detections.of(number)
        if layer is None:
            raise Refused(404, "There are no detections for this image; add them with --nuclei.")
        area, nuclei = polygon_of(wanted.outline), layer.found.nuclei
        shapely.prepare(area)
        inside = np.asarray(shapely.intersects_xy(area, nuclei.points.astype(np.float64)), bool)
        inside &= nuclei.scores >= wanted.threshold
        inside &= ~np.isin(nuclei.kinds, wanted.hidden)
        if np.count_nonzero(inside) > MOST_NUCLEI:
            raise Refused(422, f"More than {MOST_NUCLEI:,} detections lie there; draw less.")
        return _as_labels(nuclei.take(inside), str(Origin("model", layer.found.model)))

    def add_class(self, name: str) -> dict[str, str]:
        """A class that the page may give to nuclei, with its colour.

        Raises:
            Refused: it is no name, or means an area.
        """
        name = name.strip()
        if not 0 < len(name) <= 100:
            raise Refused(400, "A class needs a name of at most 100 letters.")
        names = self._pictures.opened.images[0].labels.names
        if names.is_labelled(name) or name.casefold().startswith(names.prefix.casefold()):
            raise Refused(400, f"{name!r} means an area; choose another name for nuclei.")
        return {"name": name, "colour": self._palette.css(name)}

    def _colour_in_file(self, name: str, *, names: RegionNames) -> Colour:
        """Of a class in QuPath; areas are no classes of nuclei, and have the page's colours."""
        if names.is_labelled(name):
            return LABELLED
        return AREA if names.label_of(name) is not None else self._palette.colour(name)

    def _colours(self, annotation: Annotation | None) -> list[dict[str, str]]:
        names = dict.fromkeys(["", *self._palette.names()])
        names |= dict.fromkeys(annotation.classes if annotation is not None else ())
        return [{"name": name, "colour": self._palette.css(name)} for name in names]

    def _cut(self, number: int, labels: Annotation) -> int:
        """Number of images that labelled regions were cut out as."""
        folder = self._pictures.opened.cut_into
        if folder is None:
            return 0
        shown, mpp = self._pictures.shown(number), self._pictures.measures(number).mpp
        with self._pictures.slides.using(shown.path) as slide:
            return len(cut_out(slide, labels, folder, stem=stem_of(shown), mpp=mpp))


_NOTHING: dict[str, Any] = {"nuclei": [], "regions": []}


def _as_labels(nuclei: FoundNuclei, origin: str) -> list[dict[str, Any]]:
    """As QuPath keeps detections: with their score as a measurement."""
    outlines = [None] * len(nuclei) if nuclei.outlines is None else nuclei.outlines.tolist()
    return [
        {
            "x": x,
            "y": y,
            "name": nuclei.classes[kind],
            "outline": None if outline is None else dict(mapping(outline)),
            "properties": {
                "objectType": "detection",
                ORIGIN: origin,
                "measurements": {SCORE: score},
            },
        }
        for (x, y), kind, score, outline in zip(
            nuclei.points.tolist(),
            nuclei.kinds.tolist(),
            nuclei.scores.tolist(),
            outlines,
            strict=True,
        )
    ]
