"""What images are to look like: a reference by name, from an image, or from many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from transfer_kit.data.stain.colour_statistics import (
    ColourDistribution,
    ColourStatistics,
    colour_statistics,
)
from transfer_kit.data.stain.estimate import Method, StainPair, quietly_estimated
from transfer_kit.data.stain.luminosity import standardise_luminosity
from transfer_kit.data.stain.vectors import Stains, ordered, unit
from transfer_kit.errors import UserError


@dataclass(frozen=True)
class StainReference:
    """The stain of an image or of many, as plain numbers.

    Macenko's and Vahadane's vectors of one image are some degrees apart, so each has its own.

    Attributes:
        name: What it is called.
        stains: Which two dyes it shows.
        macenko: Vectors and strengths by Macenko; None where they are not known.
        vahadane: The same by Vahadane.
        reinhard: Mean and deviation in LAB; None where they are not known.
        luminosity: Whether the luminosity of images is standardised before, as it was for these
            numbers.
    """

    name: str
    stains: Stains = "H&E"
    macenko: StainPair | None = None
    vahadane: StainPair | None = None
    reinhard: ColourStatistics | None = None
    luminosity: bool = False

    def of(self, method: str) -> StainPair | ColourStatistics:
        """What it holds for `macenko`, `vahadane` (also staintools') or `reinhard`.

        Raises:
            UserError: nothing.
        """
        kind = method.removeprefix("staintools-")
        found: StainPair | ColourStatistics | None = getattr(self, kind)
        if found is None:
            others = [name for name in ("macenko", "vahadane", "reinhard") if getattr(self, name)]
            raise UserError(
                f"The stain reference {self.name} has no numbers for {method}, only for "
                f"{', '.join(others) or 'nothing'}; choose another method or reference."
            )
        return found

    @classmethod
    def of_images(
        cls,
        images: Iterable[NDArray[np.uint8]],
        name: str,
        *,
        stains: Stains = "H&E",
        luminosity: bool = False,
    ) -> StainReference:
        """The stain that is typical of some images: the median of those that show both dyes.

        Args:
            images: `(H, W, 3)` uint8 RGB each.
            name: What to call it.
            stains: Which two dyes they have.
            luminosity: Whether their luminosity is standardised before.

        Raises:
            UserError: no image has tissue with both dyes.
        """
        pairs: dict[Method, list[StainPair]] = {"macenko": [], "vahadane": []}
        colours = []
        for image in images:
            shown = standardise_luminosity(image) if luminosity else image
            for method, found in pairs.items():
                estimate = quietly_estimated(shown, method, stains)
                if not estimate.note:
                    found.append(estimate.pair)
            colours.append(colour_statistics(shown, "lab"))
        if not pairs["macenko"] or not pairs["vahadane"]:
            raise UserError(
                f"{name} cannot be a stain reference: no tissue of two dyes is seen in it; choose "
                "an image full of tissue."
            )
        typical = ColourDistribution.of(colours)
        return cls(
            name,
            stains,
            _median(pairs["macenko"], stains),
            _median(pairs["vahadane"], stains),
            ColourStatistics("lab", *typical.means),
            luminosity,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for YAML and JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> StainReference:
        """What `as_dict` gave.

        Raises:
            UserError: a number is missing or is none.
        """
        try:
            return TypeAdapter(cls).validate_python(document)
        except ValidationError as error:
            fault = error.errors()[0]
            field = ".".join(str(part) for part in fault["loc"])
            raise UserError(
                f"A stain reference cannot be read: {field}: {fault['msg']}; write it as "
                "`StainReference.as_dict` does."
            ) from None


def _median(pairs: list[StainPair], stains: Stains) -> StainPair:
    vectors = unit(np.median([pair.matrix for pair in pairs], axis=0))
    strengths = np.median([pair.strengths for pair in pairs], axis=0)
    first, second = ((float(r), float(g), float(b)) for r, g, b in ordered(vectors, stains))
    return StainPair((first, second), (float(strengths[0]), float(strengths[1])))
