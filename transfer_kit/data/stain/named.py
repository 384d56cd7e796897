"""The stain references that go by a name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from transfer_kit.data.images import read_image
from transfer_kit.data.stain.estimate import StainPair
from transfer_kit.data.stain.measured import MEASURED
from transfer_kit.data.stain.reference import StainReference
from transfer_kit.data.stain.vectors import Stains
from transfer_kit.errors import UserError, nearest_hint

# The vectors and concentrations that open implementations of Macenko et al. 2009 have carried
# since the first one, in natural optical density. It is for either luminosity.
_MACENKO = StainReference(
    "macenko",
    macenko=StainPair(((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)), (1.9705, 1.0308)),
)

NAMED: dict[str, tuple[StainReference, ...]] = {
    "macenko": (_MACENKO, replace(_MACENKO, luminosity=True)),
    **{
        name: tuple(StainReference.from_dict({"name": name, **numbers}) for numbers in versions)
        for name, versions in MEASURED.items()
    },
}
"""Without and with standardised luminosity."""


def find_reference(
    name: str, *, stains: Stains = "H&E", luminosity: bool = False
) -> StainReference:
    """A reference by its name, or the stain of an image file.

    Args:
        name: One of `NAMED`, or the path of an image.
        stains: Which two dyes the image file shows.
        luminosity: Whether the luminosity of images is standardised.

    Raises:
        UserError: nothing goes by that name, or the image cannot be read or shows no stain.
    """
    if name in NAMED:
        (found,) = (each for each in NAMED[name] if each.luminosity == luminosity)
        return found
    path = Path(name).expanduser()
    if path.is_file():
        image = read_image(path)
        return StainReference.of_images([image], path.name, stains=stains, luminosity=luminosity)
    if path.suffix or len(path.parts) > 1:
        raise UserError(f"The stain reference {name} does not exist; check the path.")
    raise UserError(
        f"There is no stain reference {name!r}. {nearest_hint(name, NAMED)} The path of an image "
        "does as well."
    )
