"""Images brought to the stain of a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.colour_statistics import (
    ColourStatistics,
    colour_statistics,
    reinhard,
)
from transfer_kit.data.stain.density import map_density
from transfer_kit.data.stain.estimate import Method, StainEstimate, StainPair, estimate_stains
from transfer_kit.data.stain.luminosity import brightest, standardise_luminosity
from transfer_kit.data.stain.reference import StainReference
from transfer_kit.data.stain.staintools_backend import refuse_missing_staintools
from transfer_kit.data.stain.vectors import with_residual

Normalisation = Method | Literal["reinhard"]

# A dye that is hardly there is kept as it is: what it is made of is noise.
_FAINTEST = 0.05


@dataclass(frozen=True)
class StainNormaliser:
    """Brings images to the stain of a reference; each image's own stain is estimated from it.

    Attributes:
        method: `macenko` and `vahadane` exchange the stain vectors and scale the concentrations;
            `staintools-…` finds the image's own vectors by that library; `reinhard` matches mean
            and deviation in LAB.
        reference: What to look like.

    Raises:
        UserError: the reference holds nothing for this method, or it is staintools', which is not
            installed.

    Example:
        >>> import numpy as np
        >>> from transfer_kit.data.stain import StainNormaliser, find_reference
        >>> normaliser = StainNormaliser("macenko", find_reference("tnbc"))
        >>> normaliser(np.full((64, 64, 3), 255, np.uint8)).mean()
        255.0
    """

    method: Normalisation
    reference: StainReference

    def __post_init__(self) -> None:
        refuse_missing_staintools(self.method)
        self.reference.of(self.method)

    def __call__(self, image: NDArray[np.uint8], name: str = "an image") -> NDArray[np.uint8]:
        """The image `(H, W, 3)` uint8 RGB as the reference would show it.

        An image without tissue is given back as it is, with a warning that calls it `name`.
        """
        return self.fixed_on(image, name)(image)

    def fixed_on(
        self, sample: NDArray[np.uint8], name: str = "an image"
    ) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
        """What brings each part of a slide to the reference, by the stain of a sample of it all.

        Args:
            sample: `(H, W, 3)` uint8 RGB.
            name: What a warning calls it where it has no tissue; it is then left as it is.
        """
        white = brightest(sample) if self.reference.luminosity else 0.0
        shown = standardise_luminosity(sample, white) if white else sample
        target = self.reference.of(self.method)
        if isinstance(target, ColourStatistics):
            own = colour_statistics(shown, "lab")
            return _Steps(white, lambda image: reinhard(image, target, own))
        method: Method = "macenko" if self.method == "reinhard" else self.method
        stains = estimate_stains(shown, method, stains=self.reference.stains, name=name)
        if not stains.has_tissue:
            return _Steps(white, lambda image: image)
        return _Steps(white, lambda image: brought_to(image, stains, target))


@dataclass(frozen=True)
class _Steps:
    """Luminosity, where the reference asks for it, and then the stain.

    Attributes:
        white: Lightness of glass; 0 leaves it as it is.
        stain: What follows.
    """

    white: float
    stain: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self.stain(standardise_luminosity(image, self.white) if self.white else image)


def brought_to(
    image: NDArray[np.uint8], own: StainEstimate, target: StainPair
) -> NDArray[np.uint8]:
    """The image with its dyes exchanged for those of `target`, at their strengths.

    What neither dye explains is kept, so that an image brought to its own stain stays the same.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        own: The image's own dyes.
        target: The dyes to show it in.
    """
    factors = [
        wanted / found if min(wanted, found) > _FAINTEST else 1.0
        for wanted, found in zip(target.strengths, own.pair.strengths, strict=True)
    ]
    shown = with_residual(target.matrix) * np.array([*factors, 1.0])[:, None]
    return map_density(image, np.linalg.inv(with_residual(own.pair.matrix)) @ shown, np.zeros(3))
