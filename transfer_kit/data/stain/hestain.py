"""Albumentations' `HEStain` with its preset matrices, in one map of the densities."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.density import map_density
from transfer_kit.data.stain.estimate import StainEstimate
from transfer_kit.data.stain.vectors import Vectors

_LIGHTEST_TISSUE = 0.85


@dataclass(frozen=True)
class HEStain:
    """Concentrations in the terms of a preset matrix are scaled and shifted.

    One of albumentations' eight matrices of H&E is drawn for each image (`random_preset`). The
    image is shown in its two dyes alone: what they do not explain is lost, as it is there.

    Attributes:
        factor: Concentrations of each dye are multiplied by 1 ± this (`intensity_scale_range`).
        offset: And this ± is added, in natural optical density (`intensity_shift_range`).
        background: Whether glass is scaled and shifted too (`augment_background`).
    """

    factor: float = 0.3
    offset: float = 0.2
    background: bool = False

    def __call__(
        self,
        image: NDArray[np.uint8],
        rng: np.random.Generator,
        estimate: StainEstimate | None = None,
    ) -> NDArray[np.uint8]:
        """The image `(H, W, 3)` uint8 RGB in the colours of a preset matrix.

        Args:
            image: A crop or a whole image.
            rng: Where all random numbers come from.
            estimate: Not looked at: the matrix is a preset one.
        """
        matrices = preset_matrices()
        matrix = matrices[int(rng.integers(len(matrices)))]
        factors = rng.uniform(1 - self.factor, 1 + self.factor, 2)
        return self.shown(image, matrix, factors, rng.uniform(-self.offset, self.offset, 2))

    def shown(
        self,
        image: NDArray[np.uint8],
        matrix: Vectors,
        factors: NDArray[np.float64],
        offsets: NDArray[np.float64],
    ) -> NDArray[np.uint8]:
        """What one draw makes of an image: `apply_he_stain_augmentation` of albumentations.

        Args:
            image: `(H, W, 3)` uint8 RGB.
            matrix: Stain vectors `(2, 3)`.
            factors: Of each concentration.
            offsets: Added to each.
        """
        inverse = np.linalg.pinv(matrix)
        changed = map_density(image, (inverse * factors) @ matrix, offsets @ matrix)
        if self.background:
            return changed
        lightness = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        kept = map_density(image, inverse @ matrix, np.zeros(3))
        is_glass = (lightness >= 255 * _LIGHTEST_TISSUE)[..., None]
        return np.asarray(np.where(is_glass, kept, changed), np.uint8)


@cache
def preset_matrices() -> tuple[Vectors, ...]:
    """Albumentations' stain matrices of H&E, `(2, 3)` each."""
    # Importing it takes a second and would ask the network for updates.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    from albumentations.augmentations.pixel.functional import STAIN_MATRICES

    return tuple(np.asarray(matrix, np.float64) for matrix in STAIN_MATRICES.values())
