"""How a codec decodes a part of an image so that it gives what the whole image would.

Slides are too large to be decoded at once. A nucleus depends either on the maps near it alone, or
on the connected piece of foreground that it lies in; and some scores and thresholds are relative to
the whole image. A codec says which of these protocols it keeps.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from transfer_kit.codecs.base import Codec, Maps
from transfer_kit.data.nuclei import Nuclei

Mask = NDArray[np.bool_]


@runtime_checkable
class DecodesNearby(Protocol):
    """A codec of whose nuclei each depends on the maps near it alone."""

    @property
    def seen_um(self) -> float:
        """How far from its centre maps can change a nucleus."""


@runtime_checkable
class DecodesPieces(Protocol):
    """A codec that decodes each connected piece (of eight neighbours) of foreground by itself."""

    def pieces(self, output: Maps, mpp: float) -> Mask:
        """The pixels `(H, W)` through which nuclei can depend on each other."""

    def rim_um(self) -> float:
        """How far outside a part of an image the maps can change `pieces` in it."""

    def decode_within(
        self, output: Maps, mpp: float, *, threshold: float | None, within: Mask | None
    ) -> Nuclei:
        """`decode` of the pieces that lie in `within` `(H, W)` alone."""


@runtime_checkable
class RelatesToTheBest(Protocol):
    """A codec whose scores can be shares of the highest in the image."""

    def unrelated(self) -> Codec:
        """Itself with scores that, divided by the image's highest, are its own."""


@runtime_checkable
class SurveysFirst(Protocol):
    """A codec that must have seen all maps of an image before it decodes any."""

    def rim_um(self) -> float:
        """How far around the surveyed pixels maps are needed."""

    def survey(self, output: Maps, mpp: float, searched: Mask) -> NDArray[np.int64] | None:
        """What it must know of some pixels; sums over parts are of the whole. None if nothing."""

    def surveyed(self, found: NDArray[np.int64]) -> Codec:
        """Itself, knowing what was found in the whole image."""
