"""Slides that are stored as tiles: windows put together from decoded tiles, the last ones kept."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transfer_kit.data.slides.opened import OpenedSlide, unreadable
from transfer_kit.data.slides.slide import Level, Pixels
from transfer_kit.errors import UserError

MOST_TILE_PIXELS = 2**24
"""A larger tile is refused: reading one pixel would need it whole."""

KEPT_BYTES = 64 * 2**20
"""Of decoded tiles: what neighbouring windows share is then decoded once."""

_WHITE = 255
_Place = tuple[int, int, int]


@dataclass(frozen=True)
class TileGrid:
    """How a level is cut into tiles; those of the last row and column may reach beyond it.

    Attributes:
        height: Of a tile, in pixels of the level.
        width: Of a tile.
    """

    height: int
    width: int


class TiledSlide(OpenedSlide):
    """A slide that decodes one tile at a time, in `_tile`, which several threads may call.

    Levels above the finest whose middle does not decode are left out: the finer ones serve instead.
    """

    def __init__(
        self,
        path: Path,
        levels: tuple[Level, ...],
        mpp: float | None,
        *,
        grids: tuple[TileGrid, ...],
    ) -> None:
        """What `_tile` reads from must be set before: it is called to try the levels."""
        super().__init__(path, levels, mpp)
        self._grids = grids
        self._numbers = tuple(range(len(levels)))
        self._kept = _KeptTiles(KEPT_BYTES)
        readable = [k for k in self._numbers if k == 0 or self._is_readable(k)]
        self.levels = tuple(levels[k] for k in readable)
        self._grids = tuple(grids[k] for k in readable)
        self._numbers = tuple(readable)
        self._kept.clear()

    @abstractmethod
    def _tile(self, number: int, row: int, column: int) -> Pixels | None:
        """A tile, uint8 RGB, at least as large as the part of it in the level; None if not scanned.

        Args:
            number: Of the level, as `levels` was given: none is left out.
            row: Of the tile in its grid.
            column: As `row`.

        Raises:
            Exception: whatever a decoder raises; `read` says which place is damaged.
        """

    def _is_readable(self, level: int) -> bool:
        grid, (rows, columns) = self._grids[level], self.levels[level].size
        try:
            self._decoded(level, rows // 2 // grid.height, columns // 2 // grid.width)
        except UserError:
            return False
        return True

    def _pixels(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        window = np.full((height, width, 3), _WHITE, np.uint8)
        grid = self._grids[level]
        for row in range(y // grid.height, (y + height - 1) // grid.height + 1):
            for column in range(x // grid.width, (x + width - 1) // grid.width + 1):
                tile = self._decoded(level, row, column)
                if tile is not None:
                    _paste(tile, column * grid.width - x, row * grid.height - y, window)
        return window

    def _decoded(self, level: int, row: int, column: int) -> Pixels | None:
        place = (level, row, column)
        tile = self._kept.get(place)
        if tile is not None:
            return tile
        try:
            tile = self._tile(self._numbers[level], row, column)
            if tile is None:
                return None
            self._check_size(tile, level, row, column)
        except UserError:
            raise
        except Exception as error:  # codecs raise what they like; all of it means the file
            grid = self._grids[level]
            x, y = column * grid.width, row * grid.height
            raise unreadable(self.path, level=level, x=x, y=y, error=error) from error
        self._kept.put(place, tile)
        return tile

    def close(self) -> None:
        """Forget the tiles that were kept."""
        self._kept.clear()

    def _check_size(self, tile: Pixels, level: int, row: int, column: int) -> None:
        grid, (rows, columns) = self._grids[level], self.levels[level].size
        height = min(grid.height, rows - row * grid.height)
        width = min(grid.width, columns - column * grid.width)
        if tile.shape[0] < height or tile.shape[1] < width or tile.shape[2:] != (3,):
            raise ValueError(f"a tile of {width} × {height} decodes to {tile.shape}")


class _KeptTiles:
    """The tiles that were used last, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._tiles: OrderedDict[_Place, Pixels] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, place: _Place) -> Pixels | None:
        with self._lock:
            tile = self._tiles.get(place)
            if tile is not None:
                self._tiles.move_to_end(place)
            return tile

    def put(self, place: _Place, tile: Pixels) -> None:
        with self._lock:
            if tile.nbytes > self._most_bytes or place in self._tiles:
                return
            self._tiles[place] = tile
            self._bytes += tile.nbytes
            while self._bytes > self._most_bytes:
                _, oldest = self._tiles.popitem(last=False)
                self._bytes -= oldest.nbytes

    def clear(self) -> None:
        with self._lock:
            self._tiles.clear()
            self._bytes = 0


def _paste(tile: Pixels, x: int, y: int, window: Pixels) -> None:
    """Lay a tile, whose first pixel belongs at `x`, `y` of the window, into it."""
    left, top = max(x, 0), max(y, 0)
    part = tile[top - y : window.shape[0] - y, left - x : window.shape[1] - x]
    window[top : top + part.shape[0], left : left + part.shape[1]] = part


def on_white(pixels: Pixels, *, premultiplied: bool = False) -> Pixels:
    """RGBA `(H, W, 4)` laid on white.

    Args:
        premultiplied: Whether the colours have been multiplied by alpha already.
    """
    if (pixels[..., 3] == _WHITE).all():
        return np.ascontiguousarray(pixels[..., :3])
    colours, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:].astype(np.uint16)
    if premultiplied:
        laid = np.minimum(colours + (_WHITE - alpha), _WHITE)
    else:
        laid = (colours * alpha + _WHITE * (_WHITE - alpha) + 127) // _WHITE
    return np.asarray(laid, np.uint8)
