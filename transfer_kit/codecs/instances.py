"""What codecs of whole nuclei share: instance maps of annotations, and nuclei of instance maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfer_kit.codecs.base import Maps, points_of_class
from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.filling import instances_of
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import NotFiniteMapsError, UserError

Instances = NDArray[np.int32]


def instance_map(annotation: Annotation, size: tuple[int, int], *, codec: str) -> Instances:
    """Instances `(H, W)` of an annotation, as `instances_of` gives them.

    Args:
        annotation: With an instance map, or an outline for each nucleus.
        size: Height and width in pixels.
        codec: Named in the error.

    Raises:
        UserError: a nucleus has only a centre.
    """
    instances = instances_of(annotation, size)
    if instances is None:
        raise UserError(
            f"The codec {codec!r} learns whole nuclei, but some are annotated by their centre "
            "alone; use a codec that needs points alone (proximity, voting or concentric), or "
            "annotate outlines."
        )
    if instances.shape != tuple(size):
        raise ValueError(f"the instance map is {instances.shape}, but size is {tuple(size)}")
    return instances


def class_map(
    annotation: Annotation, instances: Instances, *, classes: tuple[str, ...], ignore_others: bool
) -> NDArray[np.uint8]:
    """The class `(H, W)` of each pixel: 0 background, k the class `classes[k - 1]`.

    With classes `("",)` every nucleus is of the one class; classes that are not listed are
    background where `ignore_others`.

    Raises:
        UserError: a nucleus has a class that the codec does not know, unless `ignore_others`.
    """
    if classes == ("",):
        return (instances > 0).astype(np.uint8)
    points_of_class(annotation, classes[0], classes=classes, ignore_others=ignore_others)
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    table = np.array([0, *(numbers.get(name, 0) for name in annotation.classes)], np.uint8)
    return np.asarray(table[instances])


def refuse_not_finite(output: Maps) -> None:
    """Raise a `NotFiniteMapsError` where a network's maps hold infinities or NaN."""
    if not np.isfinite(output.min(initial=0.0) + output.max(initial=0.0)):
        raise NotFiniteMapsError(
            "The network's maps hold values that are not finite, so no nuclei can be found "
            "in them: its weights are broken, train it anew or use an earlier checkpoint."
        )


def nuclei_of(
    instances: Instances, scores: NDArray[np.float32], heights: Maps, classes: tuple[str, ...]
) -> Nuclei:
    """Instances as nuclei, highest score first, each at its centroid.

    Args:
        instances: `(H, W)`, 0 background, each number 1 to N on at least one pixel.
        scores: One an instance, `(N,)`.
        heights: A map a class `(K, H, W)`; the class of a nucleus is that of the greatest sum.
        classes: Their names.
    """
    count = len(scores)
    where = np.flatnonzero(instances)
    owner = instances.ravel()[where] - 1
    sums = [
        np.bincount(owner, weights=channel.ravel()[where], minlength=count) for channel in heights
    ]
    found = np.argmax(np.stack(sums), axis=0) if len(classes) > 1 else np.zeros(count, np.intp)
    nuclei = Nuclei(
        centroids(where, owner, count, width=instances.shape[1]),
        scores,
        tuple(classes[k] for k in found.tolist()),
        instances,
    )
    return nuclei.take(np.argsort(-nuclei.scores, kind="stable"))


def centroids(
    where: NDArray[np.intp], owner: NDArray[np.integer], count: int, *, width: int
) -> Points:
    """Mean pixel position `(count, 2)`, x and y, of each owner.

    Args:
        where: Pixels as positions in the flattened map.
        owner: Of each pixel, from 0 on; each owns at least one.
        count: Number of owners.
        width: Of the map.
    """
    y, x = np.divmod(where, width)
    area = np.bincount(owner, minlength=count)
    sums = [np.bincount(owner, weights=axis, minlength=count) for axis in (x, y)]
    return (np.stack(sums, axis=1) / area[:, None]).astype(np.float32)
