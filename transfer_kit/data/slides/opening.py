"""Opening any slide or image: which reader serves it, by its content rather than its name.

- `with_tifffile`: Aperio's SVS, OME-TIFF and any other TIFF in tiles or with several levels. Exact
  at every level, several times faster at JPEG than OpenSlide, and without further packages.
- `with_openslide`: MRXS, NDPI, SCN, BIF, VMS, VMU, DICOM, Philips' TIFF, CZI and SVSLIDE, each with
  its maker's own rules; and SVS with JPEG 2000 in YCbCr.
- `ngff`: OME-NGFF and Zarr, without further packages and without code that metadata name.
- `plain`: PNG, JPEG, BMP and untiled TIFF, with the pixels that `read_image` gives.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import tifffile

from transfer_kit.data.slides.dicom import dicom_series, is_dicom
from transfer_kit.data.slides.ngff import NgffSlide, is_zarr
from transfer_kit.data.slides.ome import ome_mpp
from transfer_kit.data.slides.opened import unopenable
from transfer_kit.data.slides.plain import MOST_PIXELS, PlainSlide
from transfer_kit.data.slides.slide import Slide
from transfer_kit.data.slides.with_openslide import OpenSlideSlide
from transfer_kit.data.slides.with_tifffile import TiffSlide, needs_openslide, why_not_by_windows
from transfer_kit.errors import UserError

_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
_OF_OPENSLIDE = (".mrxs", ".ndpi", ".vms", ".vmu")  # files that begin like others
_MARKS_OF_OPENSLIDE = (b"SQLite format 3", b"ZISRAWFILE")  # SVSLIDE, CZI
_MOST_DIRECTORIES = 4096
_TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_slide(path: str | Path) -> Slide:
    """A slide or plain image, whatever its format.

    Example:
        >>> with open_slide("tests/data/slides/cells.png") as slide:  # doctest: +SKIP
        ...     corner = slide.read(level=0, x=0, y=0, width=256, height=256)

    Raises:
        UserError: nothing is there, or it is damaged, grey, of an unknown kind, or needs a package
            that is not installed.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    head = _head_of(path)
    if path.suffix.lower() in _OF_OPENSLIDE or head.startswith(_MARKS_OF_OPENSLIDE):
        return OpenSlideSlide(path, path)
    if is_dicom(head):
        return OpenSlideSlide(path, path)
    if head.startswith(_TIFFS):
        return _open_tiff(path)
    if head.startswith(_IMAGES):
        return PlainSlide(path)
    raise UserError(
        f"{path} is no slide or image of a kind that is known, or it is damaged; "
        "copy it again, or convert it to a pyramidal TIFF."
    )


def _open_folder(path: Path) -> Slide:
    if is_zarr(path):
        return NgffSlide(path)
    series = dicom_series(file for file in path.iterdir() if file.is_file())
    if len(series) > 1:
        names = ", ".join(file.name for file in series[:3])
        raise UserError(f"{path} holds {len(series)} DICOM slides; give a file of one, as {names}.")
    if series:
        return OpenSlideSlide(series[0], path)
    raise UserError(
        f"{path} is a folder, but no slide: neither a Zarr nor one with DICOM files; "
        "give a slide inside it."
    )


def _head_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    if not head:
        raise UserError(f"{path} is empty (0 bytes); copy it again from its source.")
    return head


def _open_tiff(path: Path) -> Slide:
    try:
        tiff = tifffile.TiffFile(path)
    except Exception as error:  # its parser raises what it likes; all of it means the file
        raise unopenable(path, error) from error
    try:
        slide = _slide_of_tiff(path, tiff)
    except UserError:
        tiff.close()
        raise
    except Exception as error:  # as above
        tiff.close()
        raise unopenable(path, error) from error
    if not isinstance(slide, TiffSlide):
        tiff.close()
    return slide


def _slide_of_tiff(path: Path, tiff: tifffile.TiffFile) -> Slide:
    first = tiff.pages.first
    if tiff.is_ome:
        ome_mpp(first.description, path)  # before anyone else parses it
    if needs_openslide(first):
        return OpenSlideSlide(path, path)
    _refuse_circle(tiff)
    whole = first.imagelength * first.imagewidth <= MOST_PIXELS
    if whole and not first.is_tiled and not first.subifds:
        return PlainSlide(path)
    reason = why_not_by_windows(first)
    if not reason:
        return TiffSlide(path, tiff)
    if whole:
        return PlainSlide(path, decode_now=True)
    raise UserError(f"{path} {reason}; convert it to a pyramidal TIFF of 8-bit RGB.")


def _refuse_circle(tiff: tifffile.TiffFile) -> None:
    """Directories that refer back to each other would be read without end."""
    seen: set[int] = set()
    for page in islice(tiff.pages, _MOST_DIRECTORIES):
        if page.offset in seen:
            raise ValueError("its directories form a circle")
        seen.add(page.offset)
