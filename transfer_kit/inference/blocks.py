"""Nuclei of an image block by block, equal to those of the undivided image whatever the blocks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.codecs.base import Codec, Maps
from transfer_kit.codecs.parts import DecodesNearby, DecodesPieces, RelatesToTheBest
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.data.tiles import Window
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.inference.outlines import outlines_of

log = logging.getLogger("transfer_kit.slides")

_MARGIN_UM = 24.0
"""Around a block, so that most pieces of foreground which reach into it end there."""
_WIDEST_UM = 256.0
"""Pieces of foreground wider than this are decoded as if they ended there: none is one nucleus, and
of touching ones the widest pieces seen in tissue were a fifth of it."""


class HasMaps(Protocol):
    """An image through the eyes of a detector's network."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""

    @property
    def mpp(self) -> float:
        """µm per pixel."""

    def maps(self, window: Window) -> Maps:
        """The network's maps `(C, h, w)` of a window, as they are in the whole image."""


def blocks_of(size: tuple[int, int], side: int) -> Iterator[Window]:
    """Squares that tile an image `(height, width)` row by row, smaller at its far edges."""
    for y0 in range(0, size[0], side):
        for x0 in range(0, size[1], side):
            yield Window.between(x0, y0, min(x0 + side, size[1]), min(y0 + side, size[0]))


@dataclass(frozen=True)
class BlockDecoder:
    """Finds the nuclei of one image in blocks.

    A nucleus belongs to the block that holds its centre. A codec that looks at the surroundings of
    a nucleus is given them around the block. One that decodes connected pieces of foreground is
    given each piece whole: where one goes on beyond what was looked at, it is followed.

    Attributes:
        codec: The detector's; one that surveys first must be `surveyed`.
        threshold: Score from which on nuclei are kept.
    """

    codec: Codec
    threshold: float

    def decode(self, image: HasMaps, block: Window) -> FoundNuclei:
        """The nuclei whose centres lie in the block, in pixels of the image, to be `finished`."""
        window = self.window_for(image, block)
        maps = image.maps(window)
        if not isinstance(self._own, DecodesPieces):
            nuclei = self._own.decode(maps, image.mpp, threshold=self._threshold)
            return self._kept(nuclei, window, block)
        pieces = _Pieces.of(self._own, maps, image, window)
        whole = np.isin(pieces.labels, np.flatnonzero(~pieces.cut))
        nuclei = self._own.decode_within(maps, image.mpp, threshold=self._threshold, within=whole)
        across = pieces.cut_across(block)
        found = [self._followed(image, pieces, number, block) for number in across]
        found.append(self._kept(nuclei, window, block))
        return FoundNuclei.joined(found, self.codec.classes)

    def window_for(self, image: HasMaps, block: Window) -> Window:
        """What is looked at to decode a block."""
        return block.grown(self._margin_px(image.mpp), image.size)

    def finished(self, found: FoundNuclei) -> FoundNuclei:
        """All nuclei of the image, with the scores and the threshold that the codec means."""
        if self._relates and len(found):
            found = replace(found, scores=found.scores / max(found.scores.max(), 1e-30))
        return found.take(found.scores >= self.threshold)

    @property
    def _relates(self) -> bool:
        return self._own != self.codec

    @cached_property
    def _own(self) -> Codec:
        return self.codec.unrelated() if isinstance(self.codec, RelatesToTheBest) else self.codec

    @property
    def _threshold(self) -> float | None:
        return None if self._relates else self.threshold

    def _margin_px(self, mpp: float) -> int:
        if isinstance(self._own, DecodesNearby):
            return int(np.ceil(self._own.seen_um / mpp)) + 1
        if isinstance(self._own, DecodesPieces):
            return int(np.ceil((_MARGIN_UM + self._own.rim_um()) / mpp))
        raise TypeError(f"the codec {self.codec.name!r} does not say how it decodes parts")

    def _kept(self, nuclei: Nuclei, window: Window, block: Window) -> FoundNuclei:
        corner = np.array(window[:2], np.float32)
        nuclei = nuclei.take(block.holds(nuclei.points + corner))
        outlines = None
        if nuclei.instances is not None:
            outlines = outlines_of(nuclei.instances, len(nuclei))
        found = FoundNuclei.of(nuclei, self.codec.classes, outlines)
        moved = replace(found, points=nuclei.points + corner)
        if found.outlines is None:
            return moved
        drawn = shapely.transform(found.outlines, lambda corners: corners + corner)
        return replace(moved, outlines=drawn)

    def _followed(self, image: HasMaps, pieces: _Pieces, number: int, block: Window) -> FoundNuclei:
        """The nuclei of a piece of foreground that goes on beyond the window it was seen in."""
        assert isinstance(self._own, DecodesPieces)  # noqa: S101 - for the type checker
        window, pixel, step = pieces.window_of(number), pieces.pixel_of(number), 32
        while True:
            window = window.grown(step + pieces.rim_px, image.size)
            maps = image.maps(window)
            seen = _Pieces.of(self._own, maps, image, window)
            own = int(seen.labels[pixel[1] - window.y0, pixel[0] - window.x0])
            wide = max(window.width, window.height) * image.mpp
            if not own or not seen.cut[own] or wide > _WIDEST_UM:
                break
            window, step = seen.window_of(own), 2 * step
        if own and seen.cut[own]:
            log.warning(
                "A piece of foreground at x %d, y %d is wider than %d µm; its nuclei may depend on "
                "the size of the tiles.", *pixel, _WIDEST_UM,
            )  # fmt: skip
        nuclei = self._own.decode_within(
            maps, image.mpp, threshold=self._threshold, within=(seen.labels == own) & (own > 0)
        )
        return self._kept(nuclei, window, block)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """The connected pieces of foreground in a window of an image.

    Attributes:
        labels: `(h, w)`, 0 outside of all.
        boxes: x, y, width and height in the window, and pixels, of each label.
        cut: Whether each may go on outside the window.
        rim_px: Along a cut side, how much of the window cannot be relied on.
    """

    labels: NDArray[np.int32]
    boxes: NDArray[np.int32]
    cut: NDArray[np.bool_]
    window: Window
    rim_px: int

    @classmethod
    def of(cls, codec: DecodesPieces, maps: Maps, image: HasMaps, window: Window) -> _Pieces:
        mask = codec.pieces(maps, image.mpp)
        _, labels, boxes, _ = cv2.connectedComponentsWithStats(
            mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S
        )
        rim = int(np.ceil(codec.rim_um() / image.mpp))
        left, top, width, height = boxes[:, :4].T
        height_px, width_px = image.size
        cut = (left <= rim) & (window.x0 > 0)
        cut |= (top <= rim) & (window.y0 > 0)
        cut |= (left + width >= window.width - rim) & (window.x1 < width_px)
        cut |= (top + height >= window.height - rim) & (window.y1 < height_px)
        cut[0] = True  # the background is no piece
        return cls(np.asarray(labels, np.int32), np.asarray(boxes, np.int32), cut, window, rim)

    def window_of(self, number: int) -> Window:
        """The part of the image around a piece, as far as it is seen."""
        x, y, width, height = self.boxes[number, :4].tolist()
        return Window(self.window.x0 + x, self.window.y0 + y, width, height)

    def pixel_of(self, number: int) -> tuple[int, int]:
        """X and y in the image of a pixel of a piece that can be relied on."""
        x, y, width, height = self.boxes[number, :4].tolist()
        own = self.labels[y : y + height, x : x + width] == number
        middle = (self.window.width / 2 - x, self.window.height / 2 - y)
        rows, columns = np.nonzero(own)
        nearest = int(np.argmin(np.maximum(abs(columns - middle[0]), abs(rows - middle[1]))))
        return self.window.x0 + x + int(columns[nearest]), self.window.y0 + y + int(rows[nearest])

    def cut_across(self, block: Window) -> list[int]:
        """The pieces that may go on and reach into the block."""
        left, top, width, height = self.boxes[:, :4].T
        left, top = left + self.window.x0, top + self.window.y0
        inside = (left < block.x1) & (left + width > block.x0)
        inside &= (top < block.y1) & (top + height > block.y0)
        inside[0] = False
        return np.flatnonzero(inside & self.cut).tolist()
