"""What a detector found in its test images, as one file that is small enough to be committed.

Only what lies above the decided threshold is kept, at its exact place: enough to pool folds and to
match anew, with the same figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.nuclei import Nuclei
from transfer_kit.data.sample import Sample
from transfer_kit.evaluation import Evaluated
from transfer_kit.files import replacing


@dataclass(frozen=True, eq=False)
class Predictions:
    """Candidates of several images, one after the other.

    Attributes:
        images: Ids of the images.
        names: Class names that the detector knows; `("",)` where it knows none.
        image: Position of each candidate's image in `images`, `(N,)`.
        points: `(N, 2)`, x and y in pixels.
        scores: `(N,)`.
        classes: Position of each candidate's class in `names`, `(N,)`.
    """

    images: tuple[str, ...]
    names: tuple[str, ...]
    image: NDArray[np.integer]
    points: NDArray[np.floating]
    scores: NDArray[np.floating]
    classes: NDArray[np.uint8]

    @classmethod
    def of(cls, pairs: Sequence[Evaluated], names: Sequence[str]) -> Predictions:
        """What was found in `pairs`."""
        numbers = {name: number for number, name in enumerate(names)}
        return cls(
            tuple(pair.id for pair in pairs),
            tuple(names),
            np.repeat(np.arange(len(pairs)), [len(pair.found) for pair in pairs]),
            np.concatenate([pair.found.points for pair in pairs]),
            np.concatenate([pair.found.scores for pair in pairs]),
            np.array([numbers[n] for pair in pairs for n in pair.found.classes], np.uint8),
        )

    def above(self, threshold: float) -> Predictions:
        """Those whose score is at least `threshold`."""
        kept = self.scores >= threshold
        arrays = {
            name: getattr(self, name)[kept] for name in ("image", "points", "scores", "classes")
        }
        return replace(self, **arrays)

    def write(self, path: Path) -> None:
        """Into `path`, with scores rounded to 16 bits."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                images=np.array(self.images),
                names=np.array(self.names),
                counts=np.bincount(self.image, minlength=len(self.images)).astype(np.int32),
                points=self.points.astype(np.float32),
                scores=self.scores.astype(np.float16),
                classes=self.classes,
            )

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """As `write` left them."""
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        return cls(
            tuple(str(name) for name in stored["images"]),
            tuple(str(name) for name in stored["names"]),
            np.repeat(np.arange(len(stored["images"])), stored["counts"]),
            stored["points"],
            stored["scores"].astype(np.float32),
            stored["classes"],
        )

    def beside(self, samples: Iterable[Sample]) -> list[Evaluated]:
        """Each image's candidates beside its truth, without classes where none are known."""
        by_id = {sample.id: sample for sample in samples}
        pairs = []
        for number, name in enumerate(self.images):
            own = self.image == number
            classes = tuple(self.names[k] for k in self.classes[own])
            found = Nuclei(self.points[own], self.scores[own], classes)
            sample = by_id[name]
            truth = sample.annotation()
            if self.names == ("",):
                truth = replace(truth, classes=("",) * len(truth))
            pairs.append(Evaluated(sample.id, sample.case, sample.mpp, sample.size, truth, found))
        return pairs
