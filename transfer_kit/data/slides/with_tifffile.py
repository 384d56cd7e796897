"""TIFF pyramids through tifffile: Aperio SVS, OME-TIFF with or without SubIFDs, any program's.

A tile or strip is decoded as it lies in the file, so a window of a level holds exactly its pixels.
OpenSlide gives the same pixels of Aperio's files, but takes positions in level 0 and draws between
pixels where the levels are not whole multiples of each other; and it decodes JPEG several times
slower. What needs its knowledge of a maker (see `needs_openslide`) is left to it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from math import ceil
from pathlib import Path

import numpy as np
import tifffile

from transfer_kit.data.images import read_mpp
from transfer_kit.data.slides.ome import ome_mpp
from transfer_kit.data.slides.pyramid import downsample_of
from transfer_kit.data.slides.slide import Level, Pixels
from transfer_kit.data.slides.tiled import MOST_TILE_PIXELS, TiledSlide, TileGrid, on_white
from transfer_kit.data.tiff_pieces import (
    JPEG,
    JPEG2000,
    WEBP,
    WITHOUT_LOSS,
    check_piece,
    piece_size,
)

_MOST_DIRECTORIES = 64  # a pyramid has a dozen; a damaged file may chain millions
_RGB, _YCBCR = 2, 6
_APERIO_YCBCR = 33003


def needs_openslide(page: tifffile.TiffPage) -> bool:
    """Whether a maker's TIFF means more than its tags say, so that OpenSlide must read it.

    Hamamatsu's NDPI, Leica's SCN, Ventana's BIF, Philips' and Trestle's TIFF place or overlap their
    tiles by rules of their own; some of Aperio's hold JPEG 2000 in YCbCr.
    """
    return bool(
        page.is_ndpi
        or page.is_scn
        or page.is_bif
        or page.is_philips
        or page.software.startswith("MedScan")
        or page.compression == _APERIO_YCBCR
    )


def why_not_by_windows(page: tifffile.TiffPage) -> str:
    """What keeps windows of a TIFF's page from being read; "" where nothing does."""
    if page.photometric not in (_RGB, _YCBCR) or page.samplesperpixel not in (3, 4):
        return "is no RGB"
    if page.dtype != np.uint8 or page.bitspersample not in (8, (8,) * page.samplesperpixel):
        return "has more or fewer than 8 bits a sample"
    known = (*JPEG, *JPEG2000, *WITHOUT_LOSS, *WEBP)
    if page.compression not in known or (page.photometric == _YCBCR and page.compression != 7):
        return f"is compressed in a way (number {int(page.compression)}) that is not read here"
    grid = _grid_of(page)
    if grid.height * grid.width > MOST_TILE_PIXELS:
        return f"is stored in pieces of {grid.width} × {grid.height} pixels, too large for windows"
    if min(len(page.dataoffsets), len(page.databytecounts)) < _tiles(page):
        return "lists fewer tiles than its size needs"
    return ""


class TiffSlide(TiledSlide):
    """The first picture of a TIFF and whatever is the same at a lower resolution."""

    def __init__(self, path: Path, tiff: tifffile.TiffFile) -> None:
        """Find the levels.

        Args:
            path: Of the file.
            tiff: Open; `close` closes it. Its first page can be read by windows.
        """
        self._tiff = tiff
        self._lock = threading.Lock()
        self._file_size = path.stat().st_size
        first = tiff.pages.first
        found = [(1.0, first), *_coarser(tiff)]
        self._pages = [page for _, page in found]
        super().__init__(
            path,
            tuple(Level((page.imagelength, page.imagewidth), by) for by, page in found),
            ome_mpp(first.description, path) if tiff.is_ome else read_mpp(path),
            grids=tuple(_grid_of(page) for page in self._pages),
        )

    def _tile(self, number: int, row: int, column: int) -> Pixels | None:
        page = self._pages[number]
        index = row * _tiles_across(page) + column
        if page.planarconfig != tifffile.PLANARCONFIG.SEPARATE:
            tile = self._piece(page, index)
            return None if tile is None else _rgb_of(tile, page)
        planes = [self._piece(page, index + k * _tiles_a_plane(page)) for k in range(3)]
        found = [plane for plane in planes if plane is not None]
        return np.concatenate(found, axis=-1) if len(found) == 3 else None

    def _piece(self, page: tifffile.TiffPage, index: int) -> Pixels | None:
        """One tile or strip `(height, width, samples)`; None where the file left it out."""
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if count == 0 or offset == 0:
            return None
        if offset + count > self._file_size:
            raise ValueError("the file ends before its pixels do")
        with self._lock:
            self._tiff.filehandle.seek(offset)
            data = self._tiff.filehandle.read(count)
        check_piece(page, data)
        decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
        pixels: Pixels = decoded[0]
        return pixels

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._tiff.close()


def _coarser(tiff: tifffile.TiffFile) -> list[tuple[float, tifffile.TiffPage]]:
    """Downsample and page of the lower resolutions, from fine to coarse."""
    first = tiff.pages.first
    finest = (first.imagelength, first.imagewidth)
    found: dict[tuple[int, int], tuple[float, tifffile.TiffPage]] = {}
    for page in _other_pages(tiff):
        size = (page.imagelength, page.imagewidth)
        downsample = downsample_of(size, finest)
        if downsample is not None and size not in found and not why_not_by_windows(page):
            found[size] = (downsample, page)
    return sorted(found.values(), key=lambda level: level[0])


def _other_pages(tiff: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    """What may be a lower resolution: the SubIFDs of the first page, else the pages after it.

    Among pages only those stored as the first is: an untiled one is a scanner's thumbnail or label.
    """
    first = tiff.pages.first
    if first.subifds:
        yield from (page for page in islice(first.pages, _MOST_DIRECTORIES))
        return
    for page in islice(tiff.pages, 1, _MOST_DIRECTORIES):
        if page.is_tiled == first.is_tiled:
            yield page


def _grid_of(page: tifffile.TiffPage) -> TileGrid:
    return TileGrid(*piece_size(page))


def _tiles_across(page: tifffile.TiffPage) -> int:
    return ceil(int(page.imagewidth) / _grid_of(page).width)


def _tiles_a_plane(page: tifffile.TiffPage) -> int:
    return _tiles_across(page) * ceil(int(page.imagelength) / _grid_of(page).height)


def _tiles(page: tifffile.TiffPage) -> int:
    planes = page.samplesperpixel if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else 1
    return _tiles_a_plane(page) * planes


def _rgb_of(tile: Pixels, page: tifffile.TiffPage) -> Pixels:
    """Three samples; alpha is laid on white, a fourth sample of no stated meaning is dropped."""
    if tile.shape[-1] == 3 or not page.extrasamples or page.extrasamples[0] == 0:
        return np.ascontiguousarray(tile[..., :3])
    return on_white(tile, premultiplied=page.extrasamples[0] == 1)
