"""The nuclei of a slide, as columns: millions of them in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.data.annotation import Points
from transfer_kit.data.nuclei import Nuclei


@dataclass(frozen=True, eq=False)
class FoundNuclei:
    """What was found in one slide, in pixels of its level 0.

    Attributes:
        points: Centres `(N, 2)` float32, x and y, pixel centres at integers.
        scores: `(N,)` float32.
        kinds: `(N,)` uint16, positions in `classes`.
        classes: Class names; `("",)` where nuclei have no class.
        outlines: `(N,)` shapely polygons or multipolygons, or None for a nucleus without one; None
            where the detector finds centres alone.
    """

    points: Points
    scores: NDArray[np.float32]
    kinds: NDArray[np.uint16]
    classes: tuple[str, ...]
    outlines: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.points)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> FoundNuclei:
        """The nuclei at `index`, a mask or positions, in that order."""
        outlines = None if self.outlines is None else self.outlines[index]
        return FoundNuclei(
            self.points[index], self.scores[index], self.kinds[index], self.classes, outlines
        )

    @classmethod
    def of(
        cls,
        nuclei: Nuclei,
        classes: tuple[str, ...],
        outlines: Sequence[shapely.Geometry | None] | None = None,
    ) -> FoundNuclei:
        """The nuclei of one image; `classes` holds all that its detector knows."""
        numbers = {name: number for number, name in enumerate(classes)}
        kinds = np.array([numbers[name] for name in nuclei.classes], np.uint16)
        drawn = None
        if outlines is not None:
            drawn = np.empty(len(nuclei), dtype=object)
            drawn[:] = list(outlines)
        return cls(nuclei.points, nuclei.scores, kinds, classes, drawn)

    @classmethod
    def joined(cls, parts: Sequence[FoundNuclei], classes: tuple[str, ...]) -> FoundNuclei:
        """All of several parts, in reading order of their centres, whatever the parts were."""
        whole = bool(parts) and all(part.outlines is not None for part in parts)
        together = cls(
            np.concatenate([np.zeros((0, 2), np.float32), *(part.points for part in parts)]),
            np.concatenate([np.zeros(0, np.float32), *(part.scores for part in parts)]),
            np.concatenate([np.zeros(0, np.uint16), *(part.kinds for part in parts)]),
            classes,
            np.concatenate([part.outlines for part in parts]) if whole else None,
        )
        x, y = together.points.T
        return together.take(np.lexsort((together.scores, x, y)))


@dataclass(frozen=True, eq=False)
class SlideFacts:
    """What those who read a slide's nuclei need to know of it.

    Attributes:
        name: The slide's file name.
        size: Height and width in pixels of level 0.
        mpp: µm per pixel of level 0.
        searched: Where nuclei were looked for, in pixels of level 0, as polygons.
        model: The detector's name.
        threshold: Score from which on nuclei were kept.
        radius_um: Within which a detection counts as right: how large circles are drawn.
    """

    name: str
    size: tuple[int, int]
    mpp: float
    searched: shapely.MultiPolygon
    model: str
    threshold: float
    radius_um: float
