"""What a detector found in one image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Points


@dataclass(frozen=True, eq=False)
class Nuclei:
    """Detected nuclei, highest score first.

    Attributes:
        points: Centres `(N, 2)` float32, x and y in pixels of the image, pixel centres at integers.
        scores: `(N,)` float32 in [0, 1] or above; comparable with the detector's threshold.
        classes: One class name a nucleus, length N.
        outlines: One polygon a nucleus, for codecs that find instances; else empty.
    """

    points: Points
    scores: NDArray[np.float32]
    classes: tuple[str, ...]
    outlines: tuple[BaseGeometry, ...] = ()

    def __post_init__(self) -> None:
        points = np.asarray(self.points, np.float32).reshape(-1, 2)
        scores = np.asarray(self.scores, np.float32).reshape(-1)
        if not len(points) == len(scores) == len(self.classes):
            raise ValueError(
                f"points, scores and classes differ in length: "
                f"{len(points)}, {len(scores)}, {len(self.classes)}"
            )
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "scores", scores)

    def __len__(self) -> int:
        return len(self.points)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Nuclei:
        """The nuclei at `index`, a boolean mask or positions, in that order."""
        where = np.flatnonzero(index) if index.dtype == np.bool_ else index
        return Nuclei(
            self.points[where],
            self.scores[where],
            tuple(self.classes[i] for i in where),
            tuple(self.outlines[i] for i in where) if self.outlines else (),
        )

    def above(self, threshold: float) -> Nuclei:
        """The nuclei whose score is at least `threshold`."""
        return self.take(self.scores >= threshold)

    def scaled(self, factor: float) -> Nuclei:
        """The same nuclei in an image resized by `factor` (pixel centres at integers)."""
        if self.outlines:
            raise NotImplementedError("outlines are scaled by the codec that makes them")
        return replace(self, points=((self.points + 0.5) * factor - 0.5).astype(np.float32))
