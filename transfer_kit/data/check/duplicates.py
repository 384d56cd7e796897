"""The same picture twice, as it is or mirrored, rotated and recompressed; and in two splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.check.finding import Finding
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample

_SIDE = 24
ALIKE = 0.9
"""Correlation of thumbnails of one picture; unlike images of a dozen public sets reach 0.61."""


@dataclass
class Fingerprints:
    """Content hash and a small normalised thumbnail of each image."""

    samples: list[Sample] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    thumbnails: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, sample: Sample, image: NDArray[np.uint8]) -> None:
        """Take one image into account."""
        self.samples.append(sample)
        self.hashes.append(hashlib.sha256(image.tobytes()).hexdigest() + str(image.shape))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        small -= small.mean()
        self.thumbnails.append(small / max(float(np.linalg.norm(small)), 1e-6))

    def check(self, dataset: Dataset) -> list[Finding]:
        """A finding for each pair that is the same picture."""
        return [
            self._finding(dataset, i, j, self.hashes[i] == self.hashes[j]) for i, j in self._pairs()
        ]

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Pairs of alike thumbnails in any of the eight orientations."""
        if len(self.thumbnails) < 2:
            return
        for i, j in np.argwhere(best_correlations(self.thumbnails, self.thumbnails) > ALIKE):
            if i < j:
                yield int(i), int(j)

    def _finding(self, dataset: Dataset, i: int, j: int, same: bool) -> Finding:
        one, other = self.samples[i], self.samples[j]
        splits = dataset.split_of(one), dataset.split_of(other)
        what = "the same picture" if same else "nearly the same picture"
        text = f"{one.image_path} and {other.image_path} are {what}"
        if splits[0] != splits[1] and all(splits):
            text += (
                f", one in {splits[0]}, the other in {splits[1]}, so that the test would flatter; "
                "leave one out, or give both one case."
            )
            return Finding("error", "crossing-splits", str(other.image_path), text)
        code = "duplicate-image" if same else "near-duplicate"
        return Finding("warning", code, str(other.image_path), f"{text}; leave one out.")


def best_correlations(
    one: Sequence[NDArray[np.float32]], other: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Correlation of each thumbnail of `one` with each of `other` `(len(one), len(other))`.

    The largest of the eight orientations, from -1 to 1.
    """
    first = np.stack([thumbnail.ravel() for thumbnail in one])
    best = np.full((len(one), len(other)), -1.0, np.float32)
    for turn in range(4):
        for mirror in (False, True):
            turned = [np.rot90(t.T if mirror else t, turn).ravel() for t in other]
            best = np.maximum(best, first @ np.stack(turned).T)
    return best
