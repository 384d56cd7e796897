"""Stain augmentation by each image's own dyes: their concentrations and their colours vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.density import map_density
from transfer_kit.data.stain.estimate import Method, StainEstimate, estimate_stains
from transfer_kit.data.stain.tissue import tissue_mask
from transfer_kit.data.stain.vectors import Stains, Vectors, unit, with_residual


@dataclass(frozen=True)
class StainJitter:
    """Concentrations c of each dye become α · c + β, as in staintools' `StainAugmentor`.

    Beyond it, the dyes' colours may turn, and what neither dye explains is kept.

    Attributes:
        factor: α is uniform in 1 ± this, for each dye.
        offset: β is uniform in ± this, in natural optical density.
        hue_degrees: Each stain vector turns by up to this angle, in any direction.
        background: Whether glass changes too.
        method: How an image's dyes are estimated where its estimate is not given.
        stains: Which two dyes it has then.
    """

    factor: float = 0.2
    offset: float = 0.2
    hue_degrees: float = 0.0
    background: bool = True
    method: Method = "macenko"
    stains: Stains = "H&E"

    def __call__(
        self,
        image: NDArray[np.uint8],
        rng: np.random.Generator,
        estimate: StainEstimate | None = None,
    ) -> NDArray[np.uint8]:
        """The image `(H, W, 3)` uint8 RGB as another stain bath might have left it.

        Args:
            image: A crop or a whole image.
            rng: Where all random numbers come from.
            estimate: The dyes of the image that the crop is from; the crop's own where None.
        """
        own = estimate or estimate_stains(image, self.method, stains=self.stains)
        vectors = own.pair.matrix
        factors = rng.uniform(1 - self.factor, 1 + self.factor, 2)
        offsets = rng.uniform(-self.offset, self.offset, 2)
        turned = _turned(vectors, self.hue_degrees, rng)
        shown = with_residual(turned) * np.array([*factors, 1.0])[:, None]
        linear = np.linalg.inv(with_residual(vectors)) @ shown
        changed = map_density(image, linear, offsets @ turned)
        if self.background:
            return changed
        kept: NDArray[np.uint8] = np.where(tissue_mask(image)[..., None], changed, image)
        return kept


def _turned(vectors: Vectors, most_degrees: float, rng: np.random.Generator) -> Vectors:
    """Each unit vector turned by up to `most_degrees` towards a random side."""
    sideways = rng.standard_normal((2, 3))
    sideways -= np.sum(sideways * vectors, axis=1, keepdims=True) * vectors
    sideways /= np.linalg.norm(sideways, axis=1, keepdims=True)
    angles = np.radians(most_degrees) * rng.random((2, 1))
    return unit(np.cos(angles) * vectors + np.sin(angles) * sideways)
