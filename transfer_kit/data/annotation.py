"""What is known about one image: nuclei, labelled regions and region labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Points = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Annotation:
    """Nuclei of one image, and where in it they are known.

    Attributes:
        points: Nuclear centres `(N, 2)` float32, x and y in pixels, pixel centres at integers.
        classes: One class name a nucleus, `""` where the source names none; length N.
        instances: Instance map `(H, W)` int32, 0 background, k the nucleus `points[k - 1]`.
        outlines: One polygon a nucleus (pixel coordinates as `points`), None where only its
            centre is known; empty when no nucleus has one.
        labelled_regions: Inside, every nucleus is annotated; outside, nothing is known. Empty
            means the whole image.
        region_labels: Weak classes of area, `(class name, polygon)`; unknown elsewhere.
        properties: The source's own fields, one mapping a nucleus (QuPath colour, measurements);
            empty when the source has none.
        other_features: The source's objects that are no nuclei (regions with their names and
            colours, tiles, cores), in its own form and coordinates, for a writer of that form.
        positives_only: Outside the labelled regions, if there are any, only some nuclei are
            marked; an unmarked place may be a nucleus or not.
    """

    points: Points
    classes: tuple[str, ...]
    instances: NDArray[np.int32] | None = None
    outlines: tuple[BaseGeometry | None, ...] = ()
    labelled_regions: tuple[BaseGeometry, ...] = ()
    region_labels: tuple[tuple[str, BaseGeometry], ...] = ()
    properties: tuple[Mapping[str, Any], ...] = field(default=())
    other_features: tuple[Mapping[str, Any], ...] = ()
    positives_only: bool = False

    def __post_init__(self) -> None:
        points = np.asarray(self.points, np.float32).reshape(-1, 2)
        object.__setattr__(self, "points", points)
        count = len(points)
        if len(self.classes) != count:
            raise ValueError(f"{count} points need {count} classes, but got {len(self.classes)}")
        for name in ("outlines", "properties"):
            if len(getattr(self, name)) not in (0, count):
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} entries for {count} points"
                )

    def __len__(self) -> int:
        return len(self.points)

    @property
    def knows_nuclei(self) -> bool:
        """False where an image tells nothing of nuclei.

        It has neither a nucleus nor a labelled region, and none marked says nothing, since it has
        region labels alone or only some are marked.
        """
        silent = self.region_labels or self.positives_only
        return bool(len(self) or self.labelled_regions or not silent)

    @property
    def tells_false(self) -> bool:
        """Whether there is a place where a detection can be called false."""
        return self.knows_nuclei and bool(self.labelled_regions or not self.positives_only)

    @classmethod
    def of_points(cls, points: Points, name: str = "") -> Annotation:
        """Centres alone, all of one class."""
        points = np.asarray(points, np.float32).reshape(-1, 2)
        return cls(points, (name,) * len(points))
