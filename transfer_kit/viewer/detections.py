"""What was found in the images: read when it is asked for, and anew when its file changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfer_kit.errors import UserError
from transfer_kit.viewer.cells import Cells
from transfer_kit.viewer.found_files import Found, read_found
from transfer_kit.viewer.pictures import Pictures
from transfer_kit.viewer.recent import Recent

_KEPT_NUCLEI = 4_000_000
_QUICK_BYTES = 16 * 2**20

Stamp = tuple[str, int, int]
"""Path, time of change and size of a file: another of one of them is another content."""


@dataclass(frozen=True, eq=False)
class Layer:
    """The detections of an image, as they were read and by cells."""

    found: Found
    cells: Cells
    stamp: Stamp


class Detections:
    """The detections of each image; those of the last few images are kept."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._layers = Recent[Stamp, Layer](_KEPT_NUCLEI, lambda layer: len(layer.cells) + 1)
        self._counts: dict[Stamp, int] = {}

    def of(self, number: int) -> Layer | None:
        """Of one image; None where there are none.

        Raises:
            Refused: it is not in the list.
            UserError: their file cannot be read.
        """
        path = self._pictures.shown(number).found
        if path is None:
            return None
        size = self._pictures.measures(number).size
        stamp = stamp_of(path)

        def read() -> Layer:
            found = read_found(path)
            self._counts[stamp] = len(found.nuclei)
            return Layer(found, Cells.of(found.nuclei, size), stamp)

        return self._layers.get(stamp, read)

    def count(self, number: int) -> int | None:
        """How many an image has; None where there are none, or where they take long to read.

        Raises:
            Refused: it is not in the list.
            UserError: their file cannot be read.
        """
        path = self._pictures.shown(number).found
        if path is None:
            return None
        stamp = stamp_of(path)
        if stamp not in self._counts and stamp[2] < _QUICK_BYTES:
            self.of(number)
        return self._counts.get(stamp)


def stamp_of(path: Path) -> Stamp:
    """What changes with a file.

    Raises:
        UserError: it is not there.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    return str(path), stat.st_mtime_ns, stat.st_size
