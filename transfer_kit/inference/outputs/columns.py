"""What several formats say alike of a slide and its nuclei."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from transfer_kit.inference.found import FoundNuclei, SlideFacts


def record_of(facts: SlideFacts) -> dict[str, Any]:
    """The facts under their names, ready for JSON."""
    height, width = facts.size
    return {
        "slide": facts.name,
        "height": height,
        "width": width,
        "mpp": facts.mpp,
        "model": facts.model,
        "threshold": facts.threshold,
        "radius_um": facts.radius_um,
        "searched_mm2": area_mm2(facts.searched, facts.mpp),
    }


def area_mm2(geometry: BaseGeometry, mpp: float) -> float:
    """Area of what is drawn in pixels of level 0."""
    return float(geometry.area * (mpp / 1000) ** 2)


def areas_um2(found: FoundNuclei, mpp: float) -> NDArray[np.float32] | None:
    """Of each outline, NaN for a nucleus without one; None where there are none at all."""
    if found.outlines is None:
        return None
    return np.asarray(shapely.area(found.outlines) * mpp**2, np.float32)


def names_of(found: FoundNuclei) -> NDArray[np.object_]:
    """The class name of each nucleus `(N,)`."""
    return np.array(found.classes, object)[found.kinds]
