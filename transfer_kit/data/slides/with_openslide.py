"""What OpenSlide serves: MRXS, NDPI, SCN, BIF, VMS and VMU, DICOM, Philips' TIFF, CZI, SVSLIDE.

OpenSlide takes positions in whole pixels of level 0, and where a level is no whole multiple of it
(300 columns and 37), a position may lie between two pixels, which it then mixes. The levels are
therefore read in blocks that always begin at the same places: a pixel is the same in every window,
and at most half a pixel of level 0 from where it belongs. Where the multiple is whole, as it nearly
always is, it is exact.

Where the file states which region holds anything (MRXS, SCN), that region is the slide, and
coordinates begin at its corner: as in QuPath.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transfer_kit.data.slides.opened import unopenable
from transfer_kit.data.slides.pyramid import downsample_of
from transfer_kit.data.slides.scale import stated_mpp
from transfer_kit.data.slides.slide import Level, Pixels
from transfer_kit.data.slides.tiled import MOST_TILE_PIXELS, TiledSlide, TileGrid, on_white
from transfer_kit.errors import UserError

if TYPE_CHECKING:
    from openslide import OpenSlide

_BLOCK = TileGrid(256, 256)


class OpenSlideSlide(TiledSlide):
    """A slide that the OpenSlide library reads."""

    def __init__(self, file: Path, path: Path) -> None:
        """Open it.

        Args:
            file: What OpenSlide opens.
            path: What the user named: the file, or the folder that holds it.

        Raises:
            UserError: the package is missing, or the file is damaged or of an unknown kind.
        """
        self._file = file
        self._lock = threading.Lock()
        self._is_closed = False
        self._handle: OpenSlide | None = _opened(file, path)
        properties = self._handle.properties
        _refuse_vast_tiles(properties, path)
        self._corner, size = _region_of(properties, self._handle.dimensions)
        self._downsamples = self._handle.level_downsamples
        levels = _levels_of(self._handle, size)
        self._sizes = tuple(level.size for level in levels)
        super().__init__(
            path,
            levels,
            stated_mpp(properties.get("openslide.mpp-x"), properties.get("openslide.mpp-y")),
            grids=(_BLOCK,) * len(levels),
        )

    def _tile(self, number: int, row: int, column: int) -> Pixels:
        x, y = column * _BLOCK.width, row * _BLOCK.height
        rows, columns = self._sizes[number]
        size = min(_BLOCK.width, columns - x), min(_BLOCK.height, rows - y)
        left, top = (
            corner + round(at * self._downsamples[number])
            for corner, at in zip(self._corner, (x, y), strict=True)
        )
        handle = self._open_handle()
        try:
            image = handle.read_region((left, top), number, size)
        except Exception:
            # After an error OpenSlide refuses all that follows, of every thread: whose error it was
            # is told by a handle of one's own.
            self._give_up(handle)
            with _opened(self._file, self.path) as own:
                image = own.read_region((left, top), number, size)
        return on_white(np.asarray(image))

    def _open_handle(self) -> OpenSlide:
        with self._lock:
            if self._is_closed:
                raise ValueError("the slide has been closed")
            if self._handle is None:
                self._handle = _opened(self._file, self.path)
            return self._handle

    def _give_up(self, handle: OpenSlide) -> None:
        """Let the next read open the file anew."""
        with self._lock:
            if self._handle is handle:
                self._handle = None

    def close(self) -> None:
        """Let go of the file; it is closed when no thread reads from it any more."""
        super().close()
        with self._lock:
            self._is_closed = True
            self._handle = None


def _opened(file: Path, path: Path) -> OpenSlide:
    try:
        import openslide
    except (ImportError, OSError) as error:
        raise UserError(
            f"{path} needs OpenSlide to be read; install it with: pip install "
            "'transfer-kit[slides]'."
        ) from error
    try:
        return openslide.OpenSlide(str(file))
    except openslide.OpenSlideUnsupportedFormatError as error:
        raise UserError(
            f"{path} is no slide that OpenSlide knows, or it is damaged; copy it again with all "
            "files that belong to it, or convert it to a pyramidal TIFF."
        ) from error
    except Exception as error:
        raise unopenable(path, error) from error


def _refuse_vast_tiles(properties: Mapping[str, str], path: Path) -> None:
    sides = [
        int(properties.get(f"openslide.level[0].tile-{side}", 1)) for side in ("width", "height")
    ]
    if sides[0] * sides[1] > MOST_TILE_PIXELS:
        raise UserError(
            f"{path} is stored in tiles of {sides[0]} × {sides[1]} pixels, too large for windows; "
            "convert it to a pyramidal TIFF."
        )


def _region_of(
    properties: Mapping[str, str], whole: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Corner x, y and height, width of what was scanned, in pixels of level 0."""
    stated = [properties.get(f"openslide.bounds-{name}") for name in ("x", "y", "width", "height")]
    if any(value is None for value in stated):
        return (0, 0), (whole[1], whole[0])
    x, y, width, height = (int(value or 0) for value in stated)
    width, height = min(width, whole[0] - x), min(height, whole[1] - y)
    if min(x, y) < 0 or min(width, height) < 1:
        return (0, 0), (whole[1], whole[0])
    return (x, y), (height, width)


def _levels_of(handle: OpenSlide, size: tuple[int, int]) -> tuple[Level, ...]:
    """The levels of a region of `size` (height, width), or of the whole."""
    width, height = handle.dimensions
    levels = []
    for (columns, rows), by in zip(handle.level_dimensions, handle.level_downsamples, strict=True):
        sides = (rows, columns)
        if size != (height, width):
            sides = (max(1, int(size[0] / by)), max(1, int(size[1] / by)))
        levels.append(Level(sides, downsample_of((rows, columns), (height, width)) or by))
    return tuple(levels)
