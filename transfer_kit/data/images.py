"""Reading image files as uint8 RGB, their size, and their scale in µm per pixel."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from transfer_kit.data.bit_depth import as_uint8
from transfer_kit.data.tiff_pieces import check_pieces
from transfer_kit.errors import UserError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
PLAUSIBLE_MPP = (0.05, 5.0)

_GREY_MEND = (
    "stained tissue has colour: give the RGB original, or repeat the channel three times if the "
    "image truly has none"
)
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NOT_RGB = {5: "CMYK, a print format", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB"}
_UM_PER_UNIT = {"µm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """The image as uint8 RGB `(H, W, 3)`; alpha is dropped, a palette is looked up.

    Deeper samples are scaled to `round(255 * value / white)`, halves up. `white` is the full range
    of the type (65535 for uint16) unless the file holds fewer bits: the TIFF's BitsPerSample or
    MaxSampleValue where they say so, else 4095 when no sample of a 16-bit file exceeds it (12 bits
    in 16). Floats are 0..1 when none exceeds 1, else 0..255. The orientation tag of cameras is
    not applied, since annotations count in stored pixels. A pyramid gives its first level.

    Raises:
        UserError: the file is missing, empty, damaged, grey or of another kind.
    """
    path = Path(path)
    decode = {"png": _read_png, "jpeg": _read_jpeg, "bmp": _read_bmp, "tiff": _read_tiff}
    return np.ascontiguousarray(decode[_kind_of(path)](path))


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width in pixels, from the file's header alone.

    Raises:
        UserError: the file is missing, empty or no image.
    """
    path = Path(path)
    if _kind_of(path) == "tiff":
        shape = _tiff(path, lambda tiff: tiff.pages.first.shape, "its size cannot be read")
        planar_first = len(shape) == 3 and shape[0] in (3, 4) and shape[2] not in (3, 4)
        return (int(shape[1]), int(shape[2])) if planar_first else (int(shape[0]), int(shape[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _damaged(path, error) from error


def read_mpp(path: str | Path) -> float | None:
    """µm per pixel that the file states, or None.

    Asked in this order: Aperio's "MPP =", OME-XML's PhysicalSizeX, ImageJ's unit, the TIFF's
    resolution tags; a PNG's pHYs. Values outside 0.05..5 are no scale of tissue (72, 96 and 300 dpi
    are what programs write when they know none), nor are pixels that are 5 % off square.

    Raises:
        UserError: the file is missing, empty or no image.
    """
    path = Path(path)
    kind = _kind_of(path)
    if kind == "tiff":
        stated = _tiff(path, _tiff_mpp, "its tags cannot be read")
    else:
        stated = _png_mpp(path) if kind == "png" else None
    low, high = PLAUSIBLE_MPP
    return stated if stated is not None and low <= stated <= high else None


def _kind_of(path: Path) -> str:
    """The format by the file's first bytes: a wrong suffix does not matter."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    if not head:
        raise UserError(f"{path} is empty (0 bytes); copy it again from its source.")
    if head == _PNG:
        return "png"
    if head[:3] == _JPEG:
        return "jpeg"
    if head[:2] == b"BM":
        return "bmp"
    if head[:4] in _TIFF:
        return "tiff"
    raise UserError(
        f"{path} is no PNG, JPEG, BMP or TIFF image, or it is damaged; "
        "save it as one of these or copy it again."
    )


def _damaged(path: Path, error: object = None) -> UserError:
    """The sentence for a file whose content does not decode."""
    said = " ".join(str(error).split()).rstrip(".")[:120] if error else ""
    because = f" ({said})" if said else ""
    return UserError(f"{path} is damaged or cut short{because}; copy it again from its source.")


def _grey(path: Path) -> UserError:
    return UserError(f"{path} is grey (one channel), not RGB; {_GREY_MEND}.")


def _read_png(path: Path) -> NDArray[np.uint8]:
    data = path.read_bytes()
    # Byte 25 is IHDR's colour type: 0 grey, 4 grey with alpha, which decoders may widen to RGB.
    if len(data) > 25 and data[25] in (0, 4):
        raise _grey(path)
    try:
        pixels = imagecodecs.png_decode(data)
    except (imagecodecs.PngError, ValueError) as error:
        raise _damaged(path, error) from error
    if b"IEND" not in data[-64:] and b"IEND" not in data:
        raise _damaged(path, "no end mark")
    return as_uint8(pixels[..., :3], path)


def _read_jpeg(path: Path) -> NDArray[np.uint8]:
    data = path.read_bytes()
    if b"\xff\xd9" not in data[-64:]:
        _verify_with_pillow(path)
    return _decode_with_opencv(path, data)


def _read_bmp(path: Path) -> NDArray[np.uint8]:
    data = path.read_bytes()
    offset = int.from_bytes(data[10:14], "little")
    if len(data) < max(54, offset) or len(data) < int.from_bytes(data[2:6], "little"):
        raise _damaged(path)
    return _decode_with_opencv(path, data)


def _decode_with_opencv(path: Path, data: bytes) -> NDArray[np.uint8]:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _damaged(path) from error
    if pixels is None:
        raise _damaged(path)
    if pixels.ndim == 2:
        raise _grey(path)
    return as_uint8(cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB), path)


def _verify_with_pillow(path: Path) -> None:
    """OpenCV before 5 fills what a cut JPEG lacks with grey; Pillow refuses it."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(path, error) from error


def _read_tiff(path: Path) -> NDArray[np.uint8]:
    page, pixels = _tiff(path, _first_page, "its pixels cannot be decoded")
    photometric = int(page["photometric"])
    if photometric == tifffile.PHOTOMETRIC.PALETTE:
        if page["colormap"] is None or pixels.ndim != 2:
            raise _damaged(path, "its pixels point into a palette that it has not")
        return _look_up(pixels, page["colormap"], path)
    if pixels.ndim == 3 and page["planar"]:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 2 or pixels.shape[-1] == 1:
        if page["pages"] in (3, 4):
            raise UserError(
                f"{path} holds {page['pages']} separate grey pages, not RGB; "
                "merge them and save as an RGB TIFF."
            )
        raise _grey(path)
    if pixels.ndim != 3 or pixels.shape[-1] not in (3, 4):
        raise UserError(
            f"{path} holds {pixels.shape[-1]} samples a pixel, not 3 (RGB) or 4 (RGBA); "
            "save it as an RGB TIFF."
        )
    if photometric in _NOT_RGB:
        raise UserError(f"{path} is {_NOT_RGB[photometric]}, not RGB; save it as an RGB TIFF.")
    return as_uint8(pixels[..., :3], path, bits=page["bits"], white=page["white"])


def _first_page(tiff: tifffile.TiffFile) -> tuple[dict[str, Any], NDArray[Any]]:
    page = tiff.pages.first
    bits, top = page.bitspersample, page.tags.get("MaxSampleValue")
    tops = np.atleast_1d(top.value) if top is not None else np.zeros(1)
    facts = {
        "photometric": page.photometric,
        "colormap": page.colormap,
        "planar": page.planarconfig == tifffile.PLANARCONFIG.SEPARATE,
        # A few of them, since a damaged file may lead from page to page for ever.
        "pages": len(list(islice(takewhile(lambda p: p.shape == page.shape, tiff.pages), 5))),
        "bits": int(np.max(bits)),
        "white": int(tops.max()) or None,
    }
    check_pieces(tiff, page)
    return facts, np.asarray(page.asarray())


def _tiff(path: Path, use: Callable[[tifffile.TiffFile], Any], trouble: str) -> Any:
    """What `use` finds in the TIFF; its many ways to fail become one sentence."""
    try:
        with tifffile.TiffFile(path) as tiff:
            return use(tiff)
    except Exception as error:  # codecs raise what they like; all of it means the file
        said = " ".join(str(error).split()).rstrip(".")[:120]
        raise UserError(
            f"{path} is damaged or cut short: {trouble} ({said}); copy it again from its source."
        ) from error


def _look_up(index: NDArray[Any], colormap: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Palette TIFFs store `(3, n)` uint16 colours."""
    colours = np.asarray(colormap).T
    if int(index.max(initial=0)) >= len(colours):
        raise _damaged(path, "a pixel points beyond the palette")
    # Writers that widen 8 bits by 256 instead of 257 make 65280 of white.
    eight_bit = colours >> 8
    return np.asarray(eight_bit.astype(np.uint8)[index])


def _png_mpp(path: Path) -> float | None:
    """PHYs counts pixels a metre when its unit is 1."""
    head = path.read_bytes()[:65536]
    at = head.find(b"pHYs")
    if at < 0 or len(head) < at + 13 or head[at + 12] != 1:
        return None
    return _square(*(int.from_bytes(head[at + i : at + i + 4], "big") for i in (4, 8)), unit_um=1e6)


def _tiff_mpp(tiff: tifffile.TiffFile) -> float | None:
    page = tiff.pages.first
    said = re.search(r"\bMPP\s*=\s*([0-9.eE+-]+)", page.description)
    if said:
        return float(said[1])
    if tiff.is_ome and tiff.ome_metadata:
        return _ome_mpp(tiff.ome_metadata)
    resolution = [page.tags.get(name) for name in ("XResolution", "YResolution")]
    if resolution[0] is None or resolution[1] is None:
        return None
    x, y = (tag.value[0] / tag.value[1] if tag.value[1] else 0.0 for tag in resolution)
    unit = page.tags.get("ResolutionUnit")
    unit_um = {2: 25400.0, 3: 10000.0}.get(int(unit.value) if unit is not None else 2)
    if tiff.is_imagej and tiff.imagej_metadata:
        name = str(tiff.imagej_metadata.get("unit", "")).replace("\\u00B5", "µ")
        unit_um = _UM_PER_UNIT.get(name, unit_um)
    return _square(x, y, unit_um=unit_um) if unit_um else None


def _ome_mpp(xml: str) -> float | None:
    size = re.search(r'\bPhysicalSizeX="([^"]+)"', xml)
    unit = re.search(r'\bPhysicalSizeXUnit="([^"]+)"', xml)
    per_unit = _UM_PER_UNIT.get(unit[1].replace("μ", "µ") if unit else "µm")
    return float(size[1]) * per_unit if size and per_unit else None


def _square(x: float, y: float, *, unit_um: float) -> float | None:
    """µm per pixel from pixels per unit, None unless x and y agree within 5 %."""
    if x <= 0 or y <= 0 or not 0.95 < x / y < 1.05:
        return None
    return unit_um / x
