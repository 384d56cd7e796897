"""Slides that are open: the last few, so that looking through a folder does not hoard files."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from transfer_kit.data.slides.slide import Slide

Opener = Callable[[Path], Slide]


class OpenSlides:
    """Opens slides when they are asked for, and closes the longest unused that nobody reads.

    Args:
        opener: How a file becomes a Slide.
        most: How many stay open without being used.
    """

    def __init__(self, opener: Opener, most: int = 6) -> None:
        self._opener, self._most = opener, most
        self._slides: OrderedDict[Path, Slide] = OrderedDict()
        self._users: dict[Path, int] = {}
        self._lock = Lock()

    @contextmanager
    def using(self, path: Path) -> Iterator[Slide]:
        """The slide of a file, open at least as long as the block.

        Raises:
            UserError: it cannot be opened.
        """
        with self._lock:
            if path not in self._slides:
                self._slides[path] = self._opener(path)
            self._slides.move_to_end(path)
            self._users[path] = self._users.get(path, 0) + 1
            slide = self._slides[path]
        try:
            yield slide
        finally:
            with self._lock:
                self._users[path] -= 1
                self._close_spare()

    def close(self) -> None:
        """Close all of them; nobody may be reading."""
        with self._lock:
            for slide in self._slides.values():
                slide.close()
            self._slides.clear()

    def _close_spare(self) -> None:
        spare = [path for path in self._slides if not self._users.get(path)]
        for path in spare[: max(0, len(self._slides) - self._most)]:
            self._slides.pop(path).close()
            self._users.pop(path, None)
