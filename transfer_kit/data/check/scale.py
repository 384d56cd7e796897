"""Does the µm per pixel agree with how large the nuclei are?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.check.darkness import (
    SIGMAS_PX,
    blob_diameter_px,
    blob_responses,
    nuclear_signal,
)
from transfer_kit.data.check.finding import Finding

# Measured on MoNuSeg's seven organs, TNBC, CRCHistoPhenotypes, GBM40, CPM-15 and NuCLS, medians lie
# between 3.8 (NuCLS) and 7.2 µm (colon), most between 4.6 and 6.6. So a scale wrong by two (20× for
# 40×) falls outside but for the largest nuclei halved or the smallest doubled.
SMALLEST_UM, LARGEST_UM = 3.5, 8.7
_TYPICAL_UM = 5.5
_FEWEST_NUCLEI = 30


@dataclass
class NuclearSize:
    """Nuclear size of all images that share one µm per pixel.

    Where there are instances or outlines, the median of their equivalent diameters; else the
    scale at which a Laplacian of Gaussian answers most at the points (within 25 % of the former
    on the eight sets that have both).
    """

    mpp: float
    diameters_px: list[float] = field(default_factory=list)
    responses: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(SIGMAS_PX)))
    n_points: int = 0

    def add(self, image: NDArray[np.uint8], annotation: Annotation, stain: str) -> None:
        """Take one image with its nuclei into account."""
        diameters = equivalent_diameters_px(annotation)
        if diameters:
            self.diameters_px += diameters
        elif len(annotation):
            signal = nuclear_signal(image, stain)
            self.responses += blob_responses(signal, annotation.points)
            self.n_points += len(annotation)

    def diameter_um(self) -> float | None:
        """Median diameter in µm at the stated scale; None where too few nuclei tell."""
        if len(self.diameters_px) >= _FEWEST_NUCLEI:
            return float(np.median(self.diameters_px)) * self.mpp
        if self.n_points >= _FEWEST_NUCLEI and self.responses.max() > 0:
            return blob_diameter_px(self.responses) * self.mpp
        return None

    def check(self, file: str) -> list[Finding]:
        """A finding where the nuclei would be too small or too large to be nuclei."""
        diameter = self.diameter_um()
        if diameter is None or SMALLEST_UM <= diameter <= LARGEST_UM:
            return []
        likely = self.mpp * _TYPICAL_UM / diameter
        text = (
            f"At {self.mpp:g} µm per pixel the nuclei would be {diameter:.1f} µm wide, where "
            f"{SMALLEST_UM} to {LARGEST_UM} is usual; about {likely:.2g} µm per pixel would fit: "
            f"check the magnification and correct mpp in {file}."
        )
        return [Finding("error", "wrong-mpp", file, text)]


def equivalent_diameters_px(annotation: Annotation) -> list[float]:
    """Diameters of the discs that have the nuclei's areas; empty where only centres are known."""
    areas: NDArray[np.float64]
    if annotation.instances is not None:
        areas = np.bincount(annotation.instances.ravel())[1:].astype(np.float64)
    else:
        areas = np.array([outline.area for outline in annotation.outlines if outline is not None])
    return [float(d) for d in 2 * np.sqrt(areas[areas > 0] / np.pi)]
