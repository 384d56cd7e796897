"""Mean and deviation of an image's channels in a colour space, and images made to match them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.density import OPTICAL_DENSITY, map_density
from transfer_kit.data.stain.vectors import HED

Space = Literal["lab", "hsv", "hed"]
"""`lab` and `hsv` in the eight bits of OpenCV; `hed`, the natural densities of haematoxylin, eosin
and DAB."""
Channels = tuple[float, float, float]

_TO: dict[str, int] = {"lab": cv2.COLOR_RGB2LAB, "hsv": cv2.COLOR_RGB2HSV}
_BACK: dict[str, int] = {"lab": cv2.COLOR_LAB2RGB, "hsv": cv2.COLOR_HSV2RGB}
_HED_INVERSE = np.linalg.inv(HED)
# Of an image without variation, in grey levels and in optical density.
_LEAST_DEVIATION = {"lab": 0.5, "hsv": 0.5, "hed": 2e-3}
_BOUND = 2.5


@dataclass(frozen=True)
class ColourStatistics:
    """Mean and standard deviation of all pixels in each channel."""

    space: Space
    mean: Channels
    deviation: Channels


def colour_statistics(image: NDArray[np.uint8], space: Space = "lab") -> ColourStatistics:
    """Of all pixels of an image `(H, W, 3)` uint8 RGB."""
    if space == "hed":
        return _statistics_of_density(image)
    mean, deviation = cv2.meanStdDev(cv2.cvtColor(np.ascontiguousarray(image), _TO[space]))
    return ColourStatistics(space, _channels(mean), _channels(deviation))


def matched(image: NDArray[np.uint8], target: ColourStatistics) -> NDArray[np.uint8]:
    """The image with the mean and deviation of `target` in each channel, to three grey levels.

    In LAB and HSV on eight bits, as RandStainNA does it (Shen et al. 2022); see `reinhard`.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        target: In the space that is matched.
    """
    own = colour_statistics(image, target.space)
    least = _LEAST_DEVIATION[target.space]
    factors = np.asarray(target.deviation) / np.maximum(own.deviation, least)
    offsets = np.asarray(target.mean) - factors * np.asarray(own.mean)
    if target.space == "hed":
        return map_density(image, (_HED_INVERSE * factors) @ HED, offsets @ HED)
    levels = np.arange(256)[:, None] * factors + offsets
    if target.space == "hsv":
        levels[:, 0] %= 180  # OpenCV's hue is in steps of 2°
    table = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)[:, None]
    changed = cv2.LUT(cv2.cvtColor(np.ascontiguousarray(image), _TO[target.space]), table)
    return np.asarray(cv2.cvtColor(changed, _BACK[target.space]), np.uint8)


def reinhard(
    image: NDArray[np.uint8], target: ColourStatistics, own: ColourStatistics | None = None
) -> NDArray[np.uint8]:
    """`matched` in LAB in floating point, to one grey level (Reinhard et al. 2001).

    Args:
        image: `(H, W, 3)` uint8 RGB.
        target: In LAB.
        own: Of the slide that the image is a part of; by default its own, in LAB.
    """
    own = own or colour_statistics(image, "lab")
    factors = np.asarray(target.deviation) / np.maximum(own.deviation, _LEAST_DEVIATION["lab"])
    # OpenCV's floating-point LAB is in other units than its eight bits.
    units, middle = np.array([255 / 100, 1, 1]), np.array([0, 128, 128])
    offsets = (np.asarray(target.mean) - middle - factors * (np.asarray(own.mean) - middle)) / units
    lab = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    moved = cv2.transform(lab, np.hstack([np.diag(factors), offsets[:, None]]))
    moved[..., 0] = np.clip(moved[..., 0], 0, 100)
    light = np.clip(cv2.cvtColor(moved, cv2.COLOR_LAB2RGB), 0, 1)
    return np.asarray(cv2.convertScaleAbs(light, alpha=255), np.uint8)


def _statistics_of_density(image: NDArray[np.uint8]) -> ColourStatistics:
    # Three means and a 3 × 3 covariance tell all that a linear map of the pixels needs.
    density = cv2.LUT(image, OPTICAL_DENSITY).reshape(-1, 3)
    mean = density.mean(axis=0, dtype=np.float64)
    centred = density - mean.astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / len(centred)
    variances = np.einsum("ij,ik,kj->j", _HED_INVERSE, covariance, _HED_INVERSE)
    return ColourStatistics(
        "hed", _channels(mean @ _HED_INVERSE), _channels(np.sqrt(np.maximum(variances, 0)))
    )


def _channels(values: NDArray[np.float64]) -> Channels:
    first, second, third = values.ravel().tolist()
    return first, second, third


@dataclass(frozen=True)
class ColourDistribution:
    """How the statistics of images vary from one to the next: RandStainNA's template.

    Attributes:
        space: Of all numbers.
        means: Mean over the images of their mean and of their deviation, `(2, 3)`.
        deviations: Deviation over the images of both, `(2, 3)`.
    """

    space: Space
    means: tuple[Channels, Channels]
    deviations: tuple[Channels, Channels]

    @classmethod
    def of(cls, images: Sequence[ColourStatistics]) -> ColourDistribution:
        """Of the statistics of at least one image, all in one space."""
        of_mean = np.array([image.mean for image in images])
        of_deviation = np.array([image.deviation for image in images])
        return cls(
            images[0].space,
            (_channels(of_mean.mean(axis=0)), _channels(of_deviation.mean(axis=0))),
            (_channels(of_mean.std(axis=0)), _channels(of_deviation.std(axis=0))),
        )

    def draw(self, rng: np.random.Generator, spread: float = 1.0) -> ColourStatistics:
        """The statistics of a virtual image: six normal numbers, within 2.5 deviations.

        Args:
            rng: Where they come from.
            spread: Factor on the deviations.
        """
        normal = np.clip(rng.standard_normal((2, 3)), -_BOUND, _BOUND)
        drawn = np.asarray(self.means) + spread * np.asarray(self.deviations) * normal
        deviation = np.maximum(drawn[1], _LEAST_DEVIATION[self.space])
        return ColourStatistics(self.space, _channels(drawn[0]), _channels(deviation))
