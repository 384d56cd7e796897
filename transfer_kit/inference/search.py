"""All nuclei of a slide: read ahead, through the network, decoded behind it, and kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from transfer_kit.codecs.base import Codec
from transfer_kit.codecs.parts import SurveysFirst
from transfer_kit.data.regions import polygon_mask
from transfer_kit.data.tiles import Window
from transfer_kit.inference.blocks import BlockDecoder, blocks_of
from transfer_kit.inference.field import Field, Loaded
from transfer_kit.inference.found import FoundNuclei

BLOCK_PX = 2048
"""Side of the blocks that a slide is searched in."""

_AHEAD = 2


class Keeps(Protocol):
    """Where what is found in blocks is kept; see `Parts`."""

    def has(self, block: Window) -> bool:
        """Whether a block is done."""

    def keep(self, block: Window, found: FoundNuclei) -> None:
        """Keep what was found in a block."""

    def read(self, block: Window) -> FoundNuclei:
        """What was found in a block that is done."""

    def keep_survey(self, counts: np.ndarray[Any, Any]) -> None:
        """Keep what was surveyed."""

    def survey(self) -> np.ndarray[Any, Any] | None:
        """What was surveyed before."""


class InMemory:
    """Keeps what is found for as long as it is looked at."""

    def __init__(self) -> None:
        self._found: dict[Window, FoundNuclei] = {}

    def has(self, block: Window) -> bool:
        """Whether a block is done."""
        return block in self._found

    def keep(self, block: Window, found: FoundNuclei) -> None:
        """Keep what was found in a block."""
        self._found[block] = found

    def read(self, block: Window) -> FoundNuclei:
        """What was found in a block that is done."""
        return self._found[block]

    def keep_survey(self, counts: np.ndarray[Any, Any]) -> None:
        """Nothing is gained by it."""

    def survey(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Progress:
    """How far a slide is searched: blocks and µm² done, of all; nuclei found so far."""

    done: int
    blocks: int
    done_um2: float
    nuclei: int


def search(
    field: Field,
    area: BaseGeometry | None = None,
    *,
    threshold: float,
    block_px: int = BLOCK_PX,
    keep: Keeps | None = None,
    told: Callable[[Progress], None] = lambda progress: None,
) -> FoundNuclei:
    """The nuclei of a slide whose centres lie in an area, in pixels of level 0, in reading order.

    The same nuclei are found whatever the size of blocks and tiles.

    Args:
        field: The slide, as the detector sees it.
        area: In pixels of level 0; None is the whole slide.
        threshold: Score from which on nuclei are kept.
        block_px: Side of the blocks, in pixels at the detector's mpp.
        keep: Where blocks are kept that are done; those that are there already are not done again.
        told: Called after each block.

    Raises:
        UserError: the slide is damaged, or no space is left.
    """
    keep = keep or InMemory()
    searched = None if area is None else field.of_slide(area)
    blocks = list(_blocks_in(field, searched, block_px))
    codec = _surveyed(field, searched, blocks, keep)
    decoder = BlockDecoder(codec, threshold)
    progress = Progress(0, len(blocks), 0.0, 0)
    for block, found in _found_in(field, decoder, searched, blocks, keep):
        progress = Progress(
            progress.done + 1,
            len(blocks),
            progress.done_um2 + block.width * block.height * field.mpp**2,
            progress.nuclei + len(found),
        )
        told(progress)
    parts = [keep.read(block) for block in blocks]
    return field.on_slide(decoder.finished(FoundNuclei.joined(parts, codec.classes)))


def _blocks_in(field: Field, searched: BaseGeometry | None, block_px: int) -> Iterator[Window]:
    if searched is not None:
        shapely.prepare(searched)
    for block in blocks_of(field.size, block_px):
        box = shapely.box(block.x0 - 0.5, block.y0 - 0.5, block.x1 - 0.5, block.y1 - 0.5)
        if searched is None or shapely.intersects(searched, box):
            yield block


def _surveyed(
    field: Field, searched: BaseGeometry | None, blocks: Sequence[Window], keep: Keeps
) -> Codec:
    """The codec, knowing of the whole slide what it must know before it decodes any of it."""
    codec = field.detector.codec
    if not isinstance(codec, SurveysFirst):
        return codec
    counts = keep.survey()
    if counts is None:
        # Without this a last bit could make a tile's smoothed edge another in each grid.
        margin = int(np.ceil(codec.rim_um() / field.mpp)) + 1
        for block in blocks:
            window = block.grown(margin, field.size)
            mask = np.zeros((window.height, window.width), np.bool_)
            mask[
                block.y0 - window.y0 : block.y1 - window.y0,
                block.x0 - window.x0 : block.x1 - window.x0,
            ] = True
            if searched is not None:
                mask &= polygon_mask(searched, mask.shape, (window.x0, window.y0))
            found = codec.survey(field.maps(window), field.mpp, mask)
            if found is None:
                return codec
            counts = found if counts is None else counts + found
        counts = np.zeros(256, np.int64) if counts is None else counts
        keep.keep_survey(counts)
    return codec.surveyed(counts)


def _found_in(
    field: Field,
    decoder: BlockDecoder,
    searched: BaseGeometry | None,
    blocks: Sequence[Window],
    keep: Keeps,
) -> Iterator[tuple[Window, FoundNuclei]]:
    """Each block with what was found in it, as it comes.

    Three things go on side by side: reading what comes next, the network, and decoding.
    """
    waiting = deque(block for block in blocks if not keep.has(block))
    yield from ((block, keep.read(block)) for block in blocks if keep.has(block))
    reading: deque[tuple[Window, Future[Loaded]]] = deque()
    decoding: deque[tuple[Window, Future[FoundNuclei]]] = deque()

    def read_on() -> None:
        while waiting and len(reading) < _AHEAD:
            block = waiting.popleft()
            window = decoder.window_for(field, block)
            reading.append((block, reader.submit(Loaded.around, field, window)))

    def decoded(loaded: Loaded, block: Window) -> FoundNuclei:
        found = _inside(decoder.decode(loaded, block), searched)
        keep.keep(block, found)
        return found

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as behind:
        try:
            read_on()
            while reading or decoding:
                if reading:
                    block, coming = reading.popleft()
                    read_on()
                    mapped = coming.result().with_maps(decoder.window_for(field, block))
                    decoding.append((block, behind.submit(decoded, mapped, block)))
                while decoding and (len(decoding) > _AHEAD or not reading):
                    block, done = decoding.popleft()
                    yield block, done.result()
        finally:
            futures: list[Future[Any]] = [future for _, future in reading]
            futures += [future for _, future in decoding]
            for future in futures:
                future.cancel()


def _inside(found: FoundNuclei, searched: BaseGeometry | None) -> FoundNuclei:
    if searched is None:
        return found
    x, y = found.points.T.astype(np.float64)
    return found.take(np.asarray(shapely.contains_xy(searched, x, y), np.bool_))
