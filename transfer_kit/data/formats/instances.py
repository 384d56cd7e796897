"""Label images: each nucleus its own number; and binary masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import label as connected_pieces

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.filling import pixels_of_outlines
from transfer_kit.data.formats.base import ImageInfo, check_size
from transfer_kit.data.tiff_pieces import check_pieces
from transfer_kit.errors import UserError
from transfer_kit.files import replacing

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".npy")
_SEMANTIC = (10, 10, 10)  # at most so many values, so many pieces each, so many px a piece


@dataclass(frozen=True)
class Instances:
    """A label image `(H, W)`: 0 background, each other value one nucleus.

    PNG of 8 or 16 bits, RGB(A) with the number packed as R + 256 G + 65536 B (+ 2^24 A where alpha
    varies; three equal channels count as one), TIFF and NPY of any whole-number type. The map is
    renumbered 1..N in the order of its values. A label in several pieces is one nucleus, and its
    centre is the centroid of its largest piece. A mask of one value beside 0 is binary: each
    8-connected piece is a nucleus, in reading order.
    """

    name: str = "instances"
    description: str = "label images (PNG, TIFF, NPY): a number a nucleus, or a binary mask"

    def recognises(self, path: Path) -> bool:
        """A two-dimensional array, or an image of one channel or with a mask's name."""
        suffix = path.suffix.lower()
        if suffix not in LABEL_SUFFIXES:
            return False
        try:
            if suffix == ".npy":
                return bool(np.load(path, mmap_mode="r", allow_pickle=False).ndim == 2)
            if suffix in (".tif", ".tiff"):
                with tifffile.TiffFile(path) as tiff:
                    return len(tiff.pages.first.shape) == 2
            with Image.open(path) as image:
                return image.mode in ("1", "L", "P", "I", "I;16") or named_as_mask(path)
        except Exception:  # decoders raise many kinds; the name then decides, and reading explains
            return named_as_mask(path)

    def images_of(self, path: Path) -> frozenset[str]:
        """None: a file serves one image."""
        return frozenset()

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """Centres and the instance map.

        Raises:
            UserError: the file is damaged, of another size than the image, or no instance map.
        """
        (path,) = paths
        labels = read_labels(path)
        check_size(path, (labels.shape[0], labels.shape[1]), image)
        return annotation_of_labels(labels, path)


def named_as_mask(path: Path) -> bool:
    """Whether the name alone says that it is a label image."""
    return any(word in path.stem.lower() for word in ("label", "mask", "instance"))


def read_labels(path: Path) -> NDArray[np.integer[Any]]:
    """The label image `(H, W)` of whole numbers, as the file has them.

    Raises:
        UserError: the file is missing, damaged or no label image.
    """
    readers = {
        ".npy": _read_npy,
        ".png": _read_png,
        ".bmp": _read_with_pillow,
        ".tif": _read_tiff,
        ".tiff": _read_tiff,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise UserError(f"{path} is no PNG, TIFF, BMP or NPY; a lossy JPEG cannot hold labels.")
    try:
        values = read(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except Exception as error:  # decoders raise many kinds; all of them mean the file
        said = " ".join(str(error).split()).rstrip(".")[:100]
        raise UserError(
            f"{path} is damaged or cut short ({said}); copy it again from its source."
        ) from error
    return _whole(_one_channel(values, path), path)


def _read_npy(path: Path) -> NDArray[Any]:
    return np.asarray(np.load(path, allow_pickle=False))


def _read_png(path: Path) -> NDArray[Any]:
    data = path.read_bytes()
    if len(data) > 25 and data[25] == 3:  # a palette: the labels are its indices
        return _read_with_pillow(path)
    return np.asarray(imagecodecs.png_decode(data))


def _read_tiff(path: Path) -> NDArray[Any]:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        check_pieces(tiff, page)
        return np.asarray(page.asarray())


def _read_with_pillow(path: Path) -> NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def _one_channel(values: NDArray[Any], path: Path) -> NDArray[Any]:
    if values.ndim == 2:
        return values
    if values.ndim == 3 and values.shape[2] == 1:
        return values[..., 0]
    if values.ndim != 3 or values.shape[2] not in (2, 3, 4) or values.dtype != np.uint8:
        shape = " x ".join(str(n) for n in values.shape)
        raise UserError(
            f"{path} is an array {shape} of {values.dtype}, no label image; "
            "save one number a pixel (H x W)."
        )
    colour, alpha = values, None
    if values.shape[2] in (2, 4):
        colour, alpha = values[..., :-1], values[..., -1]
    packed = colour[..., 0].astype(np.int64)
    if colour.shape[2] == 3 and not (colour == colour[..., :1]).all():
        packed += (colour[..., 1].astype(np.int64) << 8) + (colour[..., 2].astype(np.int64) << 16)
    if alpha is not None and alpha.min() != alpha.max():
        packed += alpha.astype(np.int64) << 24
    return packed


def _whole(values: NDArray[Any], path: Path) -> NDArray[np.integer[Any]]:
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if values.size == 0:
        raise UserError(f"{path} holds no pixels; give the label image of the whole image.")
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values % 1 == 0).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "ui":
        raise UserError(
            f"{path} holds {values.dtype} values, not whole numbers; save labels as integers."
        )
    if int(values.min()) < 0:
        raise UserError(f"{path} has the label {values.min()}, below 0; number nuclei from 1.")
    return values


def annotation_of_labels(labels: NDArray[np.integer[Any]], path: Path) -> Annotation:
    """Centres and the map renumbered 1..N, as `Instances` states.

    Args:
        labels: `(H, W)`, 0 background; none below 0.
        path: Named in errors.

    Raises:
        UserError: the values are classes of area rather than nuclei.
    """
    instances = _renumbered(labels)
    pieces = np.asarray(connected_pieces(instances, connectivity=2), np.int32)
    if instances.max(initial=0) == 1:
        instances = pieces
    owner, area, centroid = _measured(pieces, instances)
    count = int(instances.max(initial=0))
    most_values, pieces_each, piece_px = _SEMANTIC
    sizeable = int(np.count_nonzero(area >= piece_px))
    if 1 < count <= most_values and sizeable > pieces_each * count:
        raise UserError(
            f"{path} has {count} values in {sizeable} pieces, as a map of classes has; "
            "save a label image with a number of its own for each nucleus."
        )
    # The last write wins: by ascending area, and of equal areas the first piece.
    order = np.lexsort((-np.arange(len(area)), area))
    points: Points = np.zeros((count, 2), np.float32)
    points[owner[order] - 1] = centroid[order]
    return Annotation(points, ("",) * count, instances=instances)


def _renumbered(labels: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Values 1..N in their order; a look-up table where the greatest is small enough for one."""
    top = int(labels.max(initial=0))
    if top < 2**24:
        present = np.bincount(labels.ravel()) > 0
        present[0] = False
        table = np.where(present, np.cumsum(present), 0).astype(np.int32)
        return np.asarray(table[labels])
    values, inverse = np.unique(labels, return_inverse=True)
    first = 0 if values[0] == 0 else 1
    return np.asarray(inverse.reshape(labels.shape) + first, np.int32)


def _measured(
    pieces: NDArray[np.int32], instances: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Label, area and centroid (x, y) of each connected piece."""
    at = np.flatnonzero(pieces)
    piece = pieces.ravel()[at] - 1
    y, x = np.divmod(at, pieces.shape[1])
    area = np.bincount(piece)
    sums = [np.bincount(piece, weights=axis) for axis in (x, y)]
    owner = np.zeros(len(area), np.intp)
    owner[piece] = instances.ravel()[at]
    return owner, area, np.stack(sums, axis=1) / area[:, None]


def write_instances(path: str | Path, annotation: Annotation, size: tuple[int, int]) -> None:
    """Write a 16-bit PNG in which pixel value k is the nucleus `points[k - 1]`.

    Outlines are filled where there is no instance map; a pixel belongs to the polygon that holds
    its centre, and where nuclei overlap to the smaller one.

    Args:
        path: Replaced as a whole.
        annotation: With an instance map, or an outline for each nucleus.
        size: Height and width in pixels.

    Raises:
        UserError: some nuclei have only a centre, or are more than 65535.
    """
    if len(annotation) > np.iinfo(np.uint16).max:
        raise UserError(
            f"{path}: {len(annotation)} nuclei do not fit a 16-bit label image; "
            "write GeoJSON, CSV or COCO."
        )
    instances = annotation.instances
    if instances is None:
        instances = filled_outlines(path, annotation, size)
    elif instances.shape != tuple(size):
        raise ValueError(f"the instance map is {instances.shape}, but size is {size}")
    with replacing(path) as temporary:
        ok, data = cv2.imencode(".png", instances.astype(np.uint16))
        if not ok:
            raise UserError(f"{path} cannot be written as PNG; check the size {size}.")
        temporary.write_bytes(data.tobytes())


def filled_outlines(
    path: str | Path, annotation: Annotation, size: tuple[int, int]
) -> NDArray[np.int32]:
    """The instance map of the outlines, as `write_instances` fills them.

    Raises:
        UserError: some nuclei have only a centre, or one without area lies outside the image.
    """
    if len(annotation) and None in (annotation.outlines or (None,)):
        raise UserError(
            f"{path}: some nuclei have a centre but no outline, so a label image cannot show them; "
            "write GeoJSON, CSV or COCO instead."
        )
    filled = np.zeros(size, np.int32)
    for k, rows, columns in pixels_of_outlines(annotation, size):
        if not len(rows):
            raise UserError(
                f"{path}: nucleus {k + 1} lies outside the image of {size[1]} x {size[0]} "
                "pixels; delete it or give the image that it belongs to."
            )
        filled[rows, columns] = k + 1
    return filled
