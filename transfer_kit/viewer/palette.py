"""One colour a class, the same in the page and in QuPath."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from transfer_kit.viewer.label_file import Colour

LABELLED: Colour = (255, 255, 255)
AREA: Colour = (255, 215, 0)
"""Of labelled regions and of areas with names, as the page's own script draws them."""

_UNNAMED: Colour = (0, 200, 255)

# Bright enough on violet tissue, and told apart with most kinds of colour vision.
_COLOURS: tuple[Colour, ...] = (
    (255, 215, 0),
    (0, 205, 130),
    (255, 125, 30),
    (255, 105, 210),
    (60, 130, 255),
    (200, 255, 90),
    (255, 255, 255),
    (170, 110, 60),
    (190, 140, 255),
)


class Palette:
    """Gives each class the next colour when it is first seen; after the last it begins anew."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: list[str] = []
        self._lock = Lock()
        for name in names:
            self.colour(name)

    def colour(self, name: str) -> Colour:
        """Red, green and blue of a class; without a name it is always the same."""
        if not name:
            return _UNNAMED
        with self._lock:
            if name not in self._names:
                self._names.append(name)
            return _COLOURS[self._names.index(name) % len(_COLOURS)]

    def css(self, name: str) -> str:
        """The colour for a page, such as `#ffd700`."""
        return "#{:02x}{:02x}{:02x}".format(*self.colour(name))

    def names(self) -> tuple[str, ...]:
        """All that were seen, in their order."""
        return tuple(self._names)
