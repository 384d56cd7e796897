"""What a slide is: a picture too large for memory, at several resolutions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Level:
    """One resolution of a slide.

    Attributes:
        size: Height and width in pixels of the level.
        downsample: Side of one of its pixels in pixels of level 0; 1 for level 0.
    """

    size: tuple[int, int]
    downsample: float


class Slide(Protocol):
    """An open slide, a plain image among them. May be read by several threads at once.

    Attributes:
        path: The file or folder that it was opened from.
        levels: From the finest, level 0, to the coarsest; at least one.
        mpp: µm per pixel of level 0 that the file states, None where it states none.
    """

    path: Path
    levels: tuple[Level, ...]
    mpp: float | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of level 0."""

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Pixels `(height, width, 3)` of a level, uint8 RGB; what was not scanned is white.

        Args:
            level: Position in `levels`.
            x: First column, in pixels of that level.
            y: First row.
            width: Number of columns; the window lies within the level.
            height: Number of rows.

        Raises:
            UserError: the file is damaged there.
        """

    def close(self) -> None:
        """Let go of the file; closing twice does nothing."""

    def __enter__(self) -> Self:
        """The slide itself, closed at the end of the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
