"""The images of the page: which there are, how large, and their tiles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfer_kit.data.formats import ImageInfo
from transfer_kit.viewer.open_slides import Opener, OpenSlides
from transfer_kit.viewer.recent import Recent
from transfer_kit.viewer.refusal import Refused
from transfer_kit.viewer.shown import Opened, Shown
from transfer_kit.viewer.tiles import Tiles

_TILE_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Measures:
    """What an image's file tells of it: height and width, and µm per pixel where it is known."""

    size: tuple[int, int]
    mpp: float | None


class Pictures:
    """Images by their number in the list; a page names none by a path."""

    def __init__(self, opened: Opened, opener: Opener) -> None:
        self.opened = opened
        self.slides = OpenSlides(opener)
        self._tiles = Recent[tuple[int, int, int, int], bytes](_TILE_BYTES, len)
        self._measures: dict[int, Measures] = {}

    def shown(self, number: int) -> Shown:
        """An image of the list.

        Raises:
            Refused: it has no such number.
        """
        images = self.opened.images
        if not 0 <= number < len(images):
            raise Refused(404, f"There is no image {number}; the list has {len(images)}.")
        return images[number]

    def path(self, number: int) -> Path:
        """The file of an image of the list."""
        return self.shown(number).path

    def measures(self, number: int) -> Measures:
        """Size and scale of an image.

        Raises:
            Refused: it is not in the list.
            UserError: it cannot be opened.
        """
        if number not in self._measures:
            shown = self.shown(number)
            with self.slides.using(shown.path) as slide:
                self._measures[number] = Measures(slide.size, shown.mpp or slide.mpp)
        return self._measures[number]

    def info(self, number: int) -> ImageInfo:
        """What a reader of annotations needs to know."""
        shown, (height, width) = self.shown(number), self.measures(number).size
        return ImageInfo(shown.path.name, shown.path, height, width)

    def tile(self, number: int, level: int, column: int, row: int) -> bytes:
        """A tile as JPEG.

        Raises:
            Refused: there is no such tile.
            UserError: the slide is damaged there.
        """
        path = self.path(number)

        def made() -> bytes:
            with self.slides.using(path) as slide:
                tiles = Tiles(slide)
                if (level, column, row) not in tiles:
                    raise Refused(404, "There is no such tile.")
                return tiles.jpeg(level, column, row)

        return self._tiles.get((number, level, column, row), made)
