"""What an organ's images are like (stain, nuclear size, density), and how far two organs differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.check.darkness import values_at
from transfer_kit.data.check.scale import NuclearSize, equivalent_diameters_px
from transfer_kit.data.regions import labelled_mask
from transfer_kit.data.sample import Sample
from transfer_kit.data.stain.distance import (
    Channels,
    DensityStatistics,
    density_statistics,
    mean_statistics,
    stain_distance,
)

_UM2_PER_MM2 = 1e6


@dataclass(frozen=True)
class OrganFigures:
    """Figures of the images of one organ; None where they cannot tell.

    Attributes:
        density_mean: Natural optical density of red, green and blue in tissue, the mean of the
            images' means.
        density_sd: The spread of the pixels in tissue, the mean of the images' standard deviations.
        stain_spread: Root mean square of the images' stain distances from the organ: how much they
            differ from each other.
        diameter_um: Median diameter of the nuclei.
        diameter_from: `outlines`: of discs as large as the nuclei; `blobs`: of the blobs under the
            centres, which agrees with the former within 25 %.
        neighbour_um: Median distance of a nucleus from its nearest neighbour.
        nuclei_per_mm2: In the areas whose nuclei are annotated.
    """

    name: str
    organ: str
    n_images: int
    n_nuclei: int
    density_mean: Channels | None
    density_sd: Channels | None
    stain_spread: float | None
    diameter_um: float | None
    diameter_from: Literal["outlines", "blobs"] | None
    neighbour_um: float | None
    nuclei_per_mm2: float | None

    @property
    def stain(self) -> DensityStatistics | None:
        """Mean and spread of the optical densities; None where there is hardly any tissue."""
        if self.density_mean is None or self.density_sd is None:
            return None
        return DensityStatistics(self.density_mean, self.density_sd)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class OrganDistance:
    """How far an organ is from another; None where either cannot tell.

    Attributes:
        stain: As `stain_distance` has it: in the mean and the spread of the optical densities.
        stain_in_spreads: That, divided by the other's `stain_spread`: 1 is as far as its own
            images lie from their mean.
        hue_degrees: Angle between the mean optical densities: what is left of the distance when
            one slide is merely cut thicker or stained longer.
        diameter_ratio, neighbour_ratio, nuclei_ratio: The other's figure divided by this one's.
    """

    stain: float | None
    stain_in_spreads: float | None
    hue_degrees: float | None
    diameter_ratio: float | None
    neighbour_ratio: float | None
    nuclei_ratio: float | None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def measure_organ(name: str, organ: str, stain: str, samples: Iterable[Sample]) -> OrganFigures:
    """The figures of the images that `samples` are, or are tiles of; reads each of them once.

    Tiles are measured as the whole images that they were cut from, since a nucleus on the edge of
    two tiles would count twice.

    Raises:
        UserError: an image or annotation is missing or damaged.
    """
    measuring = _Measuring(stain)
    for sample in {sample.image_path: sample for sample in samples}.values():
        measuring.add(replace(sample, window=None))
    return measuring.figures(name, organ)


def organ_distance(one: OrganFigures, other: OrganFigures) -> OrganDistance:
    """How far `one` is from `other`."""
    stain = spreads = None
    if one.stain is not None and other.stain is not None:
        stain = stain_distance(one.stain, other.stain)
        spreads = stain / other.stain_spread if other.stain_spread else None
    return OrganDistance(
        stain=stain,
        stain_in_spreads=spreads,
        hue_degrees=_hue_degrees(one.density_mean, other.density_mean),
        diameter_ratio=_ratio(other.diameter_um, one.diameter_um),
        neighbour_ratio=_ratio(other.neighbour_um, one.neighbour_um),
        nuclei_ratio=_ratio(other.nuclei_per_mm2, one.nuclei_per_mm2),
    )


def _hue_degrees(one: Channels | None, other: Channels | None) -> float | None:
    if one is None or other is None:
        return None
    first, second = np.array(one), np.array(other)
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


class _Measuring:
    """Sums over the images of one organ."""

    def __init__(self, stain: str) -> None:
        self.stain = stain
        self.n_images = self.n_nuclei = self.n_in_area = 0
        self.area_um2 = 0.0
        self.stains: list[DensityStatistics] = []
        self.diameters_um: list[float] = []
        self.neighbours_um: list[float] = []
        self.sizes: dict[float, NuclearSize] = {}

    def add(self, sample: Sample) -> None:
        image = sample.image()
        self.n_images += 1
        stain = density_statistics(image)
        if stain is not None:
            self.stains.append(stain)
        if sample.source is None:
            return
        annotation = sample.annotation()
        if annotation.tells_false:
            self._add_nuclei(image, annotation, sample.mpp)

    def _add_nuclei(self, image: NDArray[np.uint8], annotation: Annotation, mpp: float) -> None:
        self.n_nuclei += len(annotation)
        known = labelled_mask(annotation, (image.shape[0], image.shape[1]))
        self.area_um2 += float(known.sum()) * mpp**2
        inside = values_at(known.astype(np.float32), annotation.points)
        self.n_in_area += int(inside.sum())
        self.diameters_um += [d * mpp for d in equivalent_diameters_px(annotation)]
        self.sizes.setdefault(mpp, NuclearSize(mpp)).add(image, annotation, self.stain)
        if len(annotation) > 1:
            distances, _ = cKDTree(annotation.points).query(annotation.points, k=2)
            self.neighbours_um += (distances[:, 1] * mpp).tolist()

    def figures(self, name: str, organ: str) -> OrganFigures:
        stain = mean_statistics(self.stains)
        diameter, known_from = self._diameter()
        return OrganFigures(
            name=name,
            organ=organ,
            n_images=self.n_images,
            n_nuclei=self.n_nuclei,
            density_mean=None if stain is None else stain.mean,
            density_sd=None if stain is None else stain.deviation,
            stain_spread=self._stain_spread(stain),
            diameter_um=diameter,
            diameter_from=known_from,
            neighbour_um=float(np.median(self.neighbours_um)) if self.neighbours_um else None,
            nuclei_per_mm2=(
                self.n_in_area / self.area_um2 * _UM2_PER_MM2 if self.area_um2 else None
            ),
        )

    def _stain_spread(self, organ: DensityStatistics | None) -> float | None:
        if organ is None or len(self.stains) < 2:
            return None
        away = [stain_distance(image, organ) for image in self.stains]
        return float(np.sqrt(np.mean(np.square(away))))

    def _diameter(self) -> tuple[float | None, Literal["outlines", "blobs"] | None]:
        if self.diameters_um:
            return float(np.median(self.diameters_um)), "outlines"
        most = max(self.sizes.values(), key=lambda size: size.n_points, default=None)
        diameter = most.diameter_um() if most else None
        return diameter, None if diameter is None else "blobs"


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
