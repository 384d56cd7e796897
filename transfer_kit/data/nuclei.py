"""What a detector found in one image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Points


@dataclass(frozen=True, eq=False)
class Nuclei:
    """Detected nuclei, highest score first.

    Attributes:
        points: Centres `(N, 2)` float32, x and y in pixels of the image, pixel centres at integers.
        scores: `(N,)` float32 in [0, 1] or above; comparable with the detector's threshold.
        classes: One class name a nucleus, length N.
        instances: Instance map `(H, W)` int32, 0 background, k the nucleus `points[k - 1]`; None
            from codecs that find centres alone. A nucleus may have no pixel left in it.
    """

    points: Points
    scores: NDArray[np.float32]
    classes: tuple[str, ...]
    instances: NDArray[np.int32] | None = None

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
        where: NDArray[np.intp] = np.arange(len(self), dtype=np.intp)[index]
        return Nuclei(
            self.points[where],
            self.scores[where],
            tuple(self.classes[i] for i in where),
            self._renumbered(where),
        )

    def _renumbered(self, where: NDArray[np.intp]) -> NDArray[np.int32] | None:
        if self.instances is None:
            return None
        numbers = np.zeros(len(self) + 1, np.int32)
        numbers[where + 1] = np.arange(1, len(where) + 1)
        renumbered: NDArray[np.int32] = numbers[self.instances]
        return renumbered

    def above(self, threshold: float) -> Nuclei:
        """The nuclei whose score is at least `threshold`."""
        return self.take(self.scores >= threshold)

    def scaled(self, factor: float, size: tuple[int, int]) -> Nuclei:
        """The same nuclei in an image resized by `factor` to `size`, `(H, W)`."""
        instances = self.instances
        if instances is not None:
            # OpenCV resizes no int32, and floats hold whole numbers up to 2^24 exactly.
            values = instances.astype(np.float32)
            resized = cv2.resize(values, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            instances = resized.astype(np.int32)
        points = ((self.points + 0.5) * factor - 0.5).astype(np.float32)
        return replace(self, points=points, instances=instances)
