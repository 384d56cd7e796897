"""Tiles and strips of a TIFF: their size, and what their own headers promise.

A JPEG, JPEG 2000 or WebP inside a TIFF has a header of its own, and its decoder makes memory for
what that header says. A few damaged bytes there are gigabytes.
"""

from __future__ import annotations

from io import BytesIO

import tifffile
from PIL import ImageFile, Jpeg2KImagePlugin, JpegImagePlugin, WebPImagePlugin

JPEG, JPEG2000, WEBP = (7,), (33005, 34712), (50001,)
WITHOUT_LOSS = (1, 5, 8, 32946, 32773, 50000)  # none, LZW, deflate twice, packbits, zstd
_WITH_HEADERS = (*JPEG, *JPEG2000, *WEBP)
_VAST = 10**8


def piece_size(page: tifffile.TiffPage) -> tuple[int, int]:
    """Height and width of a page's tiles, or of its strips but the last, in pixels."""
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return int(min(page.rowsperstrip, page.imagelength)), int(page.imagewidth)


def check_piece(page: tifffile.TiffPage, data: bytes) -> None:
    """Refuse a piece whose own header promises another size, before memory is made for it.

    Raises:
        ValueError: the header is larger than the piece, or is none.
    """
    if page.compression in WITHOUT_LOSS:
        return  # decoded into a buffer of the right size
    width, height = _promised(page.compression, data)
    most_height, most_width = piece_size(page)
    if width > most_width or height > most_height:
        if width * height > _VAST:
            raise ValueError("a tile promises a vast number of pixels")
        raise ValueError(f"a tile of {most_width} × {most_height} holds {width} × {height} pixels")


def check_pieces(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    """`check_piece` for each piece of a page that is to be read whole.

    Left to the decoder: what Pillow does not read, which is more than 8 bits in a JPEG and the
    rarer compressions.

    Raises:
        ValueError: the header of a piece is larger than the piece, or is none.
    """
    deep = page.bitspersample not in (8, (8,) * page.samplesperpixel)
    if page.compression not in _WITH_HEADERS or (page.compression in JPEG and deep):
        return
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if offset and count:
            tiff.filehandle.seek(offset)
            check_piece(page, tiff.filehandle.read(count))


def _promised(compression: int, data: bytes) -> tuple[int, int]:
    """Width and height in a piece's own header.

    By Pillow's class of the format, since `Image.open` has a limit of its own, which is lower than
    the single strip of a large image.
    """
    try:
        with _header_of(compression)(BytesIO(data)) as header:
            return header.size
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError("a tile has no sound header") from error


def _header_of(compression: int) -> type[ImageFile.ImageFile]:
    if compression in JPEG:
        return JpegImagePlugin.JpegImageFile
    if compression in JPEG2000:
        return Jpeg2KImagePlugin.Jpeg2KImageFile
    return WebPImagePlugin.WebPImageFile
