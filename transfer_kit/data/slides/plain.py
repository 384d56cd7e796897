"""Plain images as slides of one level, with the pixels that `read_image` gives."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

from PIL import Image

from transfer_kit.data.images import image_size, read_image, read_mpp
from transfer_kit.data.slides.opened import OpenedSlide, unopenable
from transfer_kit.data.slides.slide import Level, Pixels
from transfer_kit.errors import UserError

MOST_PIXELS = 178_956_970
"""13 377², Pillow's limit, too: a plain image lies in memory whole, unlike a slide."""

_PNG = b"\x89PNG\r\n\x1a\n"
_DEFLATE_AT_BEST = 1032  # bytes that a byte of deflated data can stand for


class PlainSlide(OpenedSlide):
    """An image file, decoded when it is first read."""

    def __init__(self, path: Path, *, decode_now: bool = False) -> None:
        """Look at the header.

        Args:
            path: Of the file.
            decode_now: Whether to decode it at once, since something is odd about it.

        Raises:
            UserError: the file is missing, empty, no image, grey, or too large to be decoded whole.
        """
        size = _size_of(path)
        super().__init__(path, (Level(size, 1.0),), read_mpp(path))
        decode_now = decode_now or _is_grey(path)  # reading says so
        self._image: Pixels | None = _decoded(path) if decode_now else None
        self._lock = threading.Lock()

    def _pixels(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        with self._lock:
            if self._image is None:
                self._image = _decoded(self.path)
            image = self._image
        if image.shape[:2] != self.size:
            raise UserError(f"{self.path} has changed since it was opened; open it again.")
        return image[y : y + height, x : x + width].copy()

    def close(self) -> None:
        """Let go of the pixels."""
        self._image = None


def _decoded(path: Path) -> Pixels:
    try:
        return read_image(path)
    except UserError:
        raise
    except Exception as error:  # libraries meet what they do not expect; all of it means the file
        raise unopenable(path, error) from error


def _size_of(path: Path) -> tuple[int, int]:
    try:
        height, width = image_size(path)
    except UserError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError):
            raise _too_large(path) from error
        raise
    if height * width > MOST_PIXELS:
        raise _too_large(path)
    if _promises_too_much(path, height * width):
        raise UserError(
            f"{path} is damaged: {width} × {height} pixels cannot be packed into "
            f"{path.stat().st_size} bytes; copy it again from its source."
        )
    return height, width


def _too_large(path: Path) -> UserError:
    return UserError(
        f"{path} has more than {MOST_PIXELS // 10**6} million pixels, too many for a plain image; "
        "save it as a pyramidal TIFF (vips tiffsave --tile --pyramid)."
    )


def _promises_too_much(path: Path, pixels: int) -> bool:
    """Whether a PNG is so small that its header lies, which is cheaper to see than to decode."""
    with path.open("rb") as file:
        head = file.read(26)
    if head[:8] != _PNG or len(head) < 26:
        return False
    samples = {2: 3, 6: 4}.get(head[25], 1)
    return pixels * samples * head[24] / 8 > path.stat().st_size * _DEFLATE_AT_BEST


def _is_grey(path: Path) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of vast images and odd tags: reading tells
            image = Image.open(path)
        with image:
            return image.mode in ("1", "L", "LA", "I", "F", "I;16", "I;16B")
    except (OSError, SyntaxError, ValueError):
        return False  # not for Pillow; reading tells
