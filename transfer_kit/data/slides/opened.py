"""What all open slides share: their size, the check of a window, closing at the end of a block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from transfer_kit.data.slides.slide import Level, Pixels
from transfer_kit.errors import UserError


class OpenedSlide(ABC):
    """A `Slide` whose windows come from `_pixels`."""

    def __init__(self, path: Path, levels: tuple[Level, ...], mpp: float | None) -> None:
        """Raises UserError where a level has no pixels."""
        if any(min(level.size) < 1 for level in levels):
            raise unopenable(path, "it has no pixels")
        self.path = path
        self.levels = levels
        self.mpp = mpp

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of level 0."""
        return self.levels[0].size

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Pixels `(height, width, 3)` of a level, uint8 RGB; what was not scanned is white.

        Raises:
            UserError: the file is damaged there.
            ValueError: the window is empty or reaches beyond the level.
        """
        rows, columns = self.levels[level].size
        inside = 0 <= x < x + width <= columns and 0 <= y < y + height <= rows
        if not inside:
            raise ValueError(
                f"the window must lie within {columns} × {rows}, but got {x=}, {y=}, {width=}, "
                f"{height=}"
            )
        return self._pixels(level, x, y, width, height)

    @abstractmethod
    def _pixels(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """As `read`, of a window that lies within the level."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file; closing twice does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def said_by(error: object) -> str:
    """What a library said, as the few words that fit into a sentence."""
    words = " ".join(str(error).split()).rstrip(".")
    return words[:120] or type(error).__name__


def unreadable(path: Path, *, level: int, x: int, y: int, error: object) -> UserError:
    """The sentence for a place of a slide that does not decode; x and y in pixels of `level`."""
    return UserError(
        f"{path} cannot be read at level {level}, x {x}, y {y} ({said_by(error)}): it is damaged "
        "or cut short; copy it again from its source."
    )


def unopenable(path: Path, error: object) -> UserError:
    """The sentence for a slide whose description of itself is damaged."""
    return UserError(
        f"{path} cannot be opened ({said_by(error)}): it is damaged, cut short or no slide; "
        "copy it again from its source, or convert it to a pyramidal TIFF."
    )
