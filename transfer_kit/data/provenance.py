"""Where each label came from: a person, a model, or a model's detection that a person corrected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation

Kind = Literal["person", "model", "corrected"]
_KINDS: tuple[Kind, ...] = ("person", "model", "corrected")

ORIGIN = "origin"
"""The property of a feature, and the entry of its metadata, that says where it came from."""

DETECTED = "detected"
"""The entry of a detection's metadata that says where and as what it was found."""

SCORE = "Detection score"
CENTRE = ("Centre X px", "Centre Y px")
"""Measurements that the kit itself writes."""

UNMOVED_PX = 0.5  # QuPath rounds to hundredths of a pixel, and to float32
_CORNER = 0.5  # QuPath counts pixel corners


class Origin(NamedTuple):
    """Who made a label.

    Attributes:
        model: The detector's name; empty for a person's label, or where no one says.

    Example:
        >>> str(Origin("corrected", "micronet-eye")), Origin.read("model: micronet-eye").kind
        ('corrected: micronet-eye', 'model')
    """

    kind: Kind
    model: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.model}" if self.model else self.kind

    @classmethod
    def read(cls, text: object) -> Origin | None:
        """The origin that a text such as "model: NAME" names; None where it names none."""
        word, _, model = str(text).partition(":")
        kind = next((kind for kind in _KINDS if kind == word.strip().lower()), None)
        if kind is None or not isinstance(text, str):
            return None
        return cls(kind, "" if kind == "person" else model.strip())


PERSON = Origin("person")


def detection_metadata(model: str, place: Sequence[float], class_name: str) -> dict[str, str]:
    """What a detection carries so that it is known again after its way through QuPath.

    QuPath keeps `metadata`, a mapping of texts, for every object since 0.5, and before that for
    annotations.

    Args:
        model: The detector's name.
        place: x and y of the outline's centroid, or of the point, in the kit's pixels.
        class_name: As it was found.
    """
    x, y = (round(float(value) + _CORNER, 2) for value in place)
    return {ORIGIN: str(Origin("model", model)), DETECTED: f"{x:.2f} {y:.2f} {class_name}".strip()}


def places_of(annotation: Annotation) -> NDArray[np.float64]:
    """Centroids of outlines, and centres where there are none `(N, 2)`, in the kit's pixels.

    An outline's centroid is what an export without measurements still tells.
    """
    places = annotation.points.astype(np.float64)
    drawn = [k for k, outline in enumerate(annotation.outlines) if outline is not None]
    if drawn:
        outlines = np.array([annotation.outlines[k] for k in drawn], dtype=object)
        centroids = shapely.get_coordinates(shapely.centroid(outlines))
        places[drawn] = centroids
    return places


def origins_of(annotation: Annotation) -> tuple[Origin, ...]:
    """The origin of each nucleus, by what its properties say; a person's where they say nothing."""
    if not annotation.properties:
        return (PERSON,) * len(annotation)
    places = places_of(annotation)
    told = zip(annotation.properties, places, annotation.classes, strict=True)
    return tuple(_origin(properties, place, name) for properties, place, name in told)


def count_origins(origins: Iterable[Origin]) -> dict[str, int]:
    """How many labels there are of each origin: persons first, then models by name."""
    counts = Counter(origins)
    order = sorted(counts, key=lambda origin: (_KINDS.index(origin.kind), origin.model))
    return {str(origin): counts[origin] for origin in order}


def _origin(properties: Mapping[str, Any], place: NDArray[np.float64], name: str) -> Origin:
    said = Origin.read(properties.get(ORIGIN))
    if said is not None:
        return said
    metadata = properties.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    marked = Origin.read(metadata.get(ORIGIN))
    if marked is None:
        return Origin("model") if _is_measured(properties) else PERSON
    if marked.kind == "model" and _differs(metadata.get(DETECTED), place, name):
        return Origin("corrected", marked.model)
    return marked


def _differs(detected: Any, place: NDArray[np.float64], name: str) -> bool:
    """Whether a nucleus is elsewhere, or of another class, than it was found."""
    x, _, rest = str(detected or "").partition(" ")
    y, _, class_name = rest.partition(" ")
    try:
        found = np.array([float(x), float(y)]) - _CORNER
    except ValueError:
        return False
    return class_name != name or bool(np.hypot(*(found - place)) > UNMOVED_PX)


def _is_measured(properties: Mapping[str, Any]) -> bool:
    """Cells, and detections with measurements, were made by a program: persons annotate."""
    kind = str(properties.get("objectType", properties.get("object_type", ""))).lower()
    names = _measurement_names(properties.get("measurements"))
    if SCORE in names:
        return True
    return kind == "cell" or (kind == "detection" and bool(names - set(CENTRE)))


def _measurement_names(measured: Any) -> set[str]:
    """QuPath up to 0.3 wrote a list of names and values, later ones a mapping."""
    if isinstance(measured, list):
        return {str(entry.get("name")) for entry in measured if isinstance(entry, Mapping)}
    return {str(name) for name in measured} if isinstance(measured, Mapping) else set()
