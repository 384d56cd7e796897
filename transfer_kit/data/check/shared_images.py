"""The same picture in two sets of images, as it is or mirrored, rotated, rescaled, recompressed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from transfer_kit.data.check.duplicates import ALIKE, Fingerprints, best_correlations
from transfer_kit.data.images import read_image
from transfer_kit.data.sample import Sample


@dataclass(frozen=True)
class SharedImage:
    """A picture that is in both sets.

    Attributes:
        correlation: Of the two thumbnails, at most 1.
        same: Whether all pixels are equal, too.
    """

    one: Sample
    other: Sample
    correlation: float
    same: bool


def find_shared_images(one: Fingerprints, other: Fingerprints) -> list[SharedImage]:
    """The pictures of `one` that are in `other`, each pair of files once, the most alike first."""
    if not one.samples or not other.samples:
        return []
    correlations = best_correlations(one.thumbnails, other.thumbnails)
    best: dict[tuple[Path, Path], SharedImage] = {}
    for i, j in np.argwhere(correlations > ALIKE):
        found = SharedImage(
            one.samples[i],
            other.samples[j],
            float(correlations[i, j]),
            one.hashes[i] == other.hashes[j],
        )
        files = found.one.image_path, found.other.image_path
        if files not in best or _likeness(found) > _likeness(best[files]):
            best[files] = found
    return sorted(best.values(), key=_likeness, reverse=True)


def fingerprints_of(samples: Sequence[Sample]) -> Fingerprints:
    """Those of all samples, and of the whole images that tiles were cut from.

    Each image is read once.
    So an image that one set holds whole and the other in tiles is found, and tiles that were
    published as images are.

    Raises:
        UserError: an image is missing or damaged.
    """
    prints = Fingerprints()
    by_image: dict[Path, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_image[sample.image_path].append(sample)
    for path, parts in by_image.items():
        image = read_image(path)
        prints.add(replace(parts[0], window=None), image)
        for sample in parts:
            if sample.window is not None:
                x0, y0, width, height = sample.window
                tile = np.ascontiguousarray(image[y0 : y0 + height, x0 : x0 + width])
                prints.add(sample, tile)
    return prints


def _likeness(shared: SharedImage) -> tuple[bool, float]:
    return shared.same, shared.correlation
