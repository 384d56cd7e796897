"""How training patches are varied: the numbers, and the changes of colour, focus and noise."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.density import map_density
from transfer_kit.data.stain.vectors import HED
from transfer_kit.errors import UserError

_HED_INVERSE = np.linalg.inv(HED)


@dataclass(frozen=True)
class Augmentation:
    """How far each property of a patch may vary; every default except `mirror` changes nothing.

    Attributes:
        rotation_degrees: Angles are uniform in ± this, 0 to 180.
        quarter_turns: Multiples of 90° instead of any angle, as in VOCA (paper 000); exact.
        mirror: Half of the patches are mirrored.
        shift_um: The position varies uniformly by ± this along each axis, in whole pixels.
        scale: Nuclei become this many times larger, log-uniform between the two.
        elastic_alpha_um: Largest root mean square displacement; each patch draws below it.
        elastic_sigma_um: Distance over which the displacement changes (Gaussian sigma).
        blur_sigma_um: Largest Gaussian blur; each patch draws below it.
        jpeg_quality: Lowest and highest JPEG quality, 1 to 100; None (null in YAML) leaves it out.
        hed_jitter: Standard deviation of the factor on the haematoxylin, eosin and DAB
            concentrations (paper 003's affine change of the deconvolved channels).
        hed_offset: Standard deviation of what is added to these concentrations (optical density).
        brightness: Largest change of brightness, as a fraction of white.
        contrast: Largest relative change of contrast.
        noise: Largest standard deviation of Gaussian noise, as a fraction of white.
        colour_probability: The chance of each of blur, JPEG, HED, brightness and noise.

    Raises:
        UserError: a number is out of its range.
    """

    rotation_degrees: float = 0.0
    quarter_turns: bool = False
    mirror: bool = True
    shift_um: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    elastic_alpha_um: float = 0.0
    elastic_sigma_um: float = 8.0
    blur_sigma_um: float = 0.0
    jpeg_quality: tuple[int, int] | None = None
    hed_jitter: float = 0.0
    hed_offset: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    colour_probability: float = 0.5

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            _check_range(name, getattr(self, name), low, high)
        _check_pair("scale", self.scale, 0.1, 10)
        if self.jpeg_quality is not None:
            _check_pair("jpeg_quality", self.jpeg_quality, 1, 100)
        # Steeper fields may fold the tissue, and then a point has no single place to move to.
        if self.elastic_alpha_um > 0.3 * self.elastic_sigma_um:
            raise UserError(
                f"elastic_alpha_um is {self.elastic_alpha_um} with elastic_sigma_um "
                f"{self.elastic_sigma_um}, which can fold the tissue; "
                f"use at most {0.3 * self.elastic_sigma_um:.3g}."
            )

    @classmethod
    def none(cls) -> Augmentation:
        """Patches as they lie in the image."""
        return cls(mirror=False)


_RANGES = (
    ("rotation_degrees", 0.0, 180.0),
    ("shift_um", 0.0, 1e4),
    ("elastic_alpha_um", 0.0, 1e4),
    ("elastic_sigma_um", 0.1, 1e4),
    ("blur_sigma_um", 0.0, 100.0),
    ("hed_jitter", 0.0, 1.0),
    ("hed_offset", 0.0, 1.0),
    ("brightness", 0.0, 1.0),
    ("contrast", 0.0, 1.0),
    ("noise", 0.0, 1.0),
    ("colour_probability", 0.0, 1.0),
)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UserError(f"{name} is {value}; use a number from {low:g} to {high:g}.")


def _check_pair(name: str, pair: tuple[float, float], low: float, high: float) -> None:
    if not low <= pair[0] <= pair[1] <= high:
        raise UserError(
            f"{name} is {tuple(pair)}; use two numbers from {low:g} to {high:g}, the lower first."
        )


def change_colours(
    image: NDArray[np.uint8], augmentation: Augmentation, *, mpp: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The image `(H, W, 3)` as another stain, scanner or file might have shown it.

    Stain first, then focus, exposure and noise, and compression last: the order in which they
    happen to a real slide. Every random number comes from `rng`.
    """
    if _chosen(augmentation.hed_jitter + augmentation.hed_offset, augmentation, rng):
        factors = 1 + augmentation.hed_jitter * _bounded_normal(rng)
        image = jitter_hed(image, factors, augmentation.hed_offset * _bounded_normal(rng))
    seed = int(rng.integers(2**31))
    pipeline = _pipeline(augmentation, mpp, threading.get_ident())
    if pipeline is not None:
        pipeline.set_random_seed(seed)
        image = pipeline(image=image)["image"]
    return image


def jitter_hed(
    image: NDArray[np.uint8], factors: NDArray[np.float64], offsets: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Stain concentrations c of haematoxylin, eosin and DAB become `factors` · c + `offsets`.

    Colour deconvolution, the affine change and the way back are one affine map of the optical
    density, so one 3 × 4 product a pixel does all three (paper 003, section on augmentation).

    Args:
        image: `(H, W, 3)` uint8 RGB.
        factors: Three, 1 changes nothing.
        offsets: Three, in optical density (natural logarithm), 0 changes nothing.
    """
    return map_density(image, (_HED_INVERSE * factors) @ HED, offsets @ HED)


def _bounded_normal(rng: np.random.Generator) -> NDArray[np.float64]:
    # Beyond 2.5 standard deviations a stain could vanish or turn over.
    return np.clip(rng.standard_normal(3), -2.5, 2.5)


def _chosen(strength: float, augmentation: Augmentation, rng: np.random.Generator) -> bool:
    return strength > 0 and rng.random() < augmentation.colour_probability


@lru_cache(maxsize=32)
def _pipeline(augmentation: Augmentation, mpp: float, thread: int) -> Any | None:
    """The albumentations that follow the stain, or None; each thread seeds and runs its own."""
    # Importing it takes a second and would ask the network for updates.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    chance = augmentation.colour_probability
    steps = []
    if augmentation.blur_sigma_um > 0:
        limits = (0.0, augmentation.blur_sigma_um / mpp)
        steps.append(albumentations.GaussianBlur(blur_limit=0, sigma_limit=limits, p=chance))
    if augmentation.brightness > 0 or augmentation.contrast > 0:
        steps.append(
            albumentations.RandomBrightnessContrast(
                brightness_limit=augmentation.brightness,
                contrast_limit=augmentation.contrast,
                p=chance,
            )
        )
    if augmentation.noise > 0:
        steps.append(albumentations.GaussNoise(std_range=(0.0, augmentation.noise), p=chance))
    if augmentation.jpeg_quality is not None:
        quality = augmentation.jpeg_quality
        steps.append(albumentations.ImageCompression(quality_range=quality, p=chance))
    return albumentations.Compose(steps, seed=0) if steps else None
