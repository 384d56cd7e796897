"""What an organ's images are like (stain, nuclear size, density), and how far two organs differ."""

from __future__ import annotations

import math
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

_DENSITY = (-np.log((np.arange(256) + 1) / 256)).astype(np.float32)
_LEAST_DENSITY = 0.15
"""Mean optical density from which on a pixel is tissue (Macenko et al. 2009)."""
_FEWEST_PIXELS = 100
_MOST_PIXELS = 100_000
_UM2_PER_MM2 = 1e6

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class OrganFigures:
    """Figures of the images of one organ; None where they cannot tell.

    Attributes:
        density_mean: Natural optical density of red, green and blue in tissue, the mean of the
            images' means.
        density_sd: The spread of the pixels in tissue, the mean of the images' standard deviations.
        stain_spread: Root mean square distance of the images' means from `density_mean`: how much
            the images of this organ differ from each other.
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

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class OrganDistance:
    """How far an organ is from another; None where either cannot tell.

    Attributes:
        stain: Euclidean distance of the mean optical densities.
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
    stain = spreads = hue = None
    if one.density_mean is not None and other.density_mean is not None:
        first, second = np.array(one.density_mean), np.array(other.density_mean)
        stain = float(np.linalg.norm(first - second))
        spreads = stain / other.stain_spread if other.stain_spread else None
        cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
        hue = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return OrganDistance(
        stain=stain,
        stain_in_spreads=spreads,
        hue_degrees=hue,
        diameter_ratio=_ratio(other.diameter_um, one.diameter_um),
        neighbour_ratio=_ratio(other.neighbour_um, one.neighbour_um),
        nuclei_ratio=_ratio(other.nuclei_per_mm2, one.nuclei_per_mm2),
    )


def tissue_density(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Natural optical density `(N, 3)` of the pixels that are tissue, of RGB `(H, W, 3)`.

    Of an image of more than 100 000 pixels, every second, third … row and column is looked at.
    """
    step = math.ceil(math.sqrt(image.shape[0] * image.shape[1] / _MOST_PIXELS))
    density = _DENSITY[image[::step, ::step]].reshape(-1, 3)
    tissue: NDArray[np.float32] = density[density.mean(axis=1) > _LEAST_DENSITY]
    return tissue


class _Measuring:
    """Sums over the images of one organ."""

    def __init__(self, stain: str) -> None:
        self.stain = stain
        self.n_images = self.n_nuclei = self.n_in_area = 0
        self.area_um2 = 0.0
        self.means: list[NDArray[np.float64]] = []
        self.spreads: list[NDArray[np.float64]] = []
        self.diameters_um: list[float] = []
        self.neighbours_um: list[float] = []
        self.sizes: dict[float, NuclearSize] = {}

    def add(self, sample: Sample) -> None:
        image = sample.image()
        self.n_images += 1
        tissue = tissue_density(image)
        if len(tissue) >= _FEWEST_PIXELS:
            self.means.append(tissue.mean(axis=0, dtype=np.float64))
            self.spreads.append(tissue.std(axis=0, dtype=np.float64))
        if sample.source is None:
            return
        annotation = sample.annotation()
        if annotation.knows_nuclei:
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
        means = np.array(self.means).reshape(-1, 3)
        diameter, known_from = self._diameter()
        away = np.square(means - means.mean(axis=0)).sum(axis=1) if len(means) else means
        return OrganFigures(
            name=name,
            organ=organ,
            n_images=self.n_images,
            n_nuclei=self.n_nuclei,
            density_mean=_three(means.mean(axis=0)) if len(means) else None,
            density_sd=_three(np.mean(self.spreads, axis=0)) if len(means) else None,
            stain_spread=float(np.sqrt(away.mean())) if len(means) > 1 else None,
            diameter_um=diameter,
            diameter_from=known_from,
            neighbour_um=float(np.median(self.neighbours_um)) if self.neighbours_um else None,
            nuclei_per_mm2=(
                self.n_in_area / self.area_um2 * _UM2_PER_MM2 if self.area_um2 else None
            ),
        )

    def _diameter(self) -> tuple[float | None, Literal["outlines", "blobs"] | None]:
        if self.diameters_um:
            return float(np.median(self.diameters_um)), "outlines"
        most = max(self.sizes.values(), key=lambda size: size.n_points, default=None)
        diameter = most.diameter_um() if most else None
        return diameter, None if diameter is None else "blobs"


def _three(values: NDArray[np.float64]) -> Channels:
    first, second, third = values.tolist()
    return first, second, third


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
