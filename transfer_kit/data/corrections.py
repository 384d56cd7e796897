"""Labels that began as predictions: what a person left, corrected, added and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import AnnotationSource, read_annotation, write_geojson
from transfer_kit.data.formats.geojson import KEPT
from transfer_kit.data.formats.qupath_objects import uuid_of
from transfer_kit.data.provenance import ORIGIN, UNMOVED_PX, Origin, origins_of, places_of
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError

MOVED_UM = 2.0
"""A label this near to a prediction that is gone is taken for the same nucleus, moved."""

_SAME_AREA = 0.02  # QuPath rounds corners to hundredths of a pixel


@dataclass(frozen=True)
class Corrected:
    """What became of predictions.

    Attributes:
        origins: One a label.
        deleted: Predictions that no label stands for.
    """

    origins: tuple[Origin, ...]
    deleted: int


def compare(labels: Annotation, predicted: Annotation, *, mpp: float) -> Corrected:
    """The origin of each label beside the predictions that the labels began as.

    A label is a prediction's if it has its id; else if it lies where that lay (0.5 px); else if it
    is the nearest within 2 µm, one label a prediction. It is unchanged if place, class and outline
    are as they were, and corrected otherwise. Other labels are what they say of themselves, or a
    person's.
    """
    origins, models = list(origins_of(labels)), origins_of(predicted)
    places, found = places_of(labels), places_of(predicted)
    partner = _by_id(labels, predicted)
    for reach in (UNMOVED_PX, MOVED_UM / mpp):
        _by_place(partner, places, found, reach)
    for k in np.flatnonzero(partner >= 0).tolist():
        j = int(partner[k])
        same = (
            np.hypot(*(places[k] - found[j])) <= UNMOVED_PX
            and labels.classes[k] == predicted.classes[j]
            and _alike(labels, k, predicted, j)
            and origins[k].kind != "corrected"
        )
        origins[k] = Origin("model" if same else "corrected", models[j].model or origins[k].model)
    return Corrected(tuple(origins), len(predicted) - int(np.count_nonzero(partner >= 0)))


def note_corrections(sample: Sample, folder: Path) -> Corrected | None:
    """Compare a sample's labels with the predictions in `folder`, and note each label's origin.

    The origin becomes a property of each nucleus in the sample's GeoJSON; all else in it stays.

    Args:
        sample: The whole image, no tile of it.
        folder: Holds `STEM.geojson`, as `transfer-kit predict` writes it.

    Returns:
        None where there is no prediction of this image.

    Raises:
        UserError: the labels are no GeoJSON, a file is damaged, or the labels cannot be written.
    """
    path = prediction_of(sample, folder)
    if path is None or sample.source is None:
        return None
    if sample.source.format != "geojson":
        raise UserError(
            f"{sample.source.paths[0]} is {sample.source.format}, which cannot hold where a label "
            "came from; export GeoJSON from QuPath."
        )
    labels = sample.annotation()
    predicted = read_annotation(AnnotationSource("geojson", (path,)), sample.info)
    corrected = compare(labels, predicted, mpp=sample.mpp)
    known: list[Mapping[str, Any]] = list(labels.properties)
    told = [{**p, ORIGIN: str(o)} for p, o in zip(known, corrected.origins, strict=True)]
    if told != known:
        write_geojson(sample.source.paths[0], replace(labels, properties=tuple(told)))
    return corrected


def prediction_of(sample: Sample, folder: Path) -> Path | None:
    """The GeoJSON in `folder` that is named for the sample's image, if there is one."""
    names = (f"{sample.image_path.stem}.geojson", f"{sample.image_path.name}.geojson")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _by_id(labels: Annotation, predicted: Annotation) -> NDArray[np.intp]:
    """For each label the prediction of the same id, -1 where there is none."""
    known = {_id_of(p): j for j, p in enumerate(predicted.properties)}
    known.pop(None, None)
    partner = np.full(len(labels), -1, np.intp)
    for k, properties in enumerate(labels.properties):
        # Each point of what was one feature has its id: the first may claim it.
        partner[k] = known.pop(_id_of(properties), -1)
    return partner


def _id_of(properties: Mapping[str, Any]) -> str | None:
    return uuid_of(properties.get(KEPT, {}).get("id"))


def _by_place(
    partner: NDArray[np.intp],
    places: NDArray[np.float64],
    found: NDArray[np.float64],
    reach_px: float,
) -> None:
    """Give labels without partner the nearest free prediction within reach, nearest pairs first."""
    free = np.setdiff1d(np.arange(len(found)), partner)
    lone = np.flatnonzero(partner < 0)
    if not len(free) or not len(lone):
        return
    tree = cKDTree(found[free])
    near = tree.query_ball_point(places[lone], reach_px)
    pairs = [
        (float(np.hypot(*(places[k] - found[free[i]]))), int(k), int(free[i]))
        for k, row in zip(lone, near, strict=True)
        for i in row
    ]
    taken: set[int] = set()
    for _, k, j in sorted(pairs):
        if partner[k] < 0 and j not in taken:
            partner[k] = j
            taken.add(j)


def _alike(labels: Annotation, k: int, predicted: Annotation, j: int) -> bool:
    """Whether outlines enclose the same area, or there are none."""
    one = labels.outlines[k] if labels.outlines else None
    other = predicted.outlines[j] if predicted.outlines else None
    if one is None or other is None:
        return one is other
    return bool(abs(one.area - other.area) <= _SAME_AREA * max(one.area, other.area))
