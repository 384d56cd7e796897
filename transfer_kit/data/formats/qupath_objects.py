"""What a feature of QuPath's GeoJSON says of its object: type and class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from transfer_kit.errors import UserError

NO_NUCLEUS = ("tile", "tmacore", "root")
"""Types of objects that are never nuclei, as `kind_of` spells them."""

_KINDS = ("annotation", "detection", "cell", *NO_NUCLEUS)


def kind_of(feature: Mapping[str, Any]) -> str:
    """QuPath's object type in small letters: `annotation`, `detection`, `cell`, `tmacore` ….

    Up to QuPath 0.2 it stood in the id (PathDetectionObject), in 0.3 in `object_type`. What has
    another type or none is an annotation, as QuPath has it.
    """
    properties = feature.get("properties") or {}
    old = str(feature.get("id", "")).removeprefix("Path").removesuffix("Object")
    said = (properties.get(key) for key in ("objectType", "object_type", "type"))
    kind = str(next((word for word in said if isinstance(word, str)), old))
    kind = kind.replace("_", "").lower()
    return kind if kind in _KINDS else "annotation"


def uuid_of(identifier: Any) -> str | None:
    """The id of an object since QuPath 0.4; None for what other programs call an id."""
    try:
        return str(UUID(identifier))
    except (AttributeError, TypeError, ValueError):
        return None


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
        if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
            return ": ".join(parts)
        if isinstance(parts, str):
            return ": ".join([*_parents(classification), parts])
    raise UserError(f"{where}: its classification has no name; export the file again from QuPath.")


def _parents(classification: Mapping[str, Any]) -> list[str]:
    """Up to QuPath 0.3 `Tumor: Positive` was `Positive` with the parent class `Tumor`."""
    names: list[str] = []
    parent = classification.get("parentClass")
    while isinstance(parent, dict):
        if isinstance(parent.get("name"), str):
            names.insert(0, parent["name"])
        parent = parent.get("parentClass")
    return names
