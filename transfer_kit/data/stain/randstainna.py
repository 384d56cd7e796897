"""RandStainNA: each image is normalised to a virtual one, drawn from how images vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.colour_statistics import ColourDistribution, matched
from transfer_kit.data.stain.estimate import StainEstimate


@dataclass(frozen=True)
class RandStainNA:
    """Mean and deviation of each channel become those of a virtual image (Shen et al. 2022).

    Attributes:
        distribution: How mean and deviation vary over the images of one or many organs.
        spread: Factor on that variation (1 + `std_hyper` of the authors' code).
    """

    distribution: ColourDistribution
    spread: float = 1.0

    def __call__(
        self,
        image: NDArray[np.uint8],
        rng: np.random.Generator,
        estimate: StainEstimate | None = None,
    ) -> NDArray[np.uint8]:
        """The image `(H, W, 3)` uint8 RGB in the colours of a virtual one.

        Args:
            image: A crop or a whole image.
            rng: Where all random numbers come from.
            estimate: Not looked at: mean and deviation are the crop's own.
        """
        return matched(image, self.distribution.draw(rng, self.spread))
