"""Decoded images at the training's pixel size, loaded once and shared by all worker processes."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray
from shapely.affinity import affine_transform
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.regions import labelled_mask
from transfer_kit.errors import UserError

if TYPE_CHECKING:
    from transfer_kit.data.sample import Sample

SAME_SCALE = 0.01
"""Images whose mpp is within this fraction of the wanted one are not resampled, in training and in
prediction alike: it would cost more sharpness than it corrects."""


@dataclass(frozen=True)
class _Stored:
    """Where an array lies in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: DTypeLike


@dataclass(frozen=True)
class _Entry:
    image: _Stored
    annotation: Annotation
    instances: _Stored | None
    labelled: _Stored | None


class ImageCache:
    """Images and annotations of many samples at one pixel size.

    All arrays lie one after another in a single temporary file that is memory-mapped for reading.
    The operating system then holds each page once for all processes, whether they were forked,
    spawned (pickling sends the path, not the pixels) or started by another launcher, and drops
    pages when memory runs short; shared memory (`/dev/shm`) would count against the often small
    limit of a container and survives a crash. One file needs one file handle however many images
    there are. The process that made it removes it.

    Args:
        samples: Decoded once each, in this order, when the cache is made.
        mpp: µm per pixel to which images and annotations are resampled.
        folder: Where the temporary file goes; the system's temporary folder by default.

    Raises:
        UserError: an image cannot be read, an instance map does not fit its image, or no space
            is left.
    """

    def __init__(self, samples: Sequence[Sample], mpp: float, folder: Path | None = None) -> None:
        self.mpp = mpp
        self.sample_ids = tuple(sample.id for sample in samples)
        self.cases = tuple(sample.case for sample in samples)
        self.path = _temporary_file(folder)
        self._remove = weakref.finalize(self, _remove_in, os.getpid(), self.path)
        try:
            with self.path.open("wb") as file:
                self._entries = tuple(_stored_sample(file, sample, mpp) for sample in samples)
        except BaseException:
            self.close()
            raise
        self._bytes = self._mapped()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, index: int) -> tuple[NDArray[np.uint8], Annotation]:
        """Image `(H, W, 3)` uint8, read-only, and its annotation in the same pixels."""
        entry = self._entries[index]
        annotation = entry.annotation
        if entry.instances is not None:
            annotation = replace(annotation, instances=self._view(entry.instances))
        return self._view(entry.image), annotation

    def labelled(self, index: int) -> NDArray[np.uint8] | None:
        """Where all nuclei are annotated `(H, W)` uint8 0 or 1; None where that is everywhere."""
        stored = self._entries[index].labelled
        return None if stored is None else self._view(stored)

    def size(self, index: int) -> tuple[int, int]:
        """Height and width at the training's pixel size."""
        height, width = self._entries[index].image.shape[:2]
        return height, width

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """All images in order."""
        return (self._view(entry.image) for entry in self._entries)

    def close(self) -> None:
        """Remove the file; arrays already handed out stay valid."""
        self._remove()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_bytes", "_remove")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bytes = self._mapped()

    def _mapped(self) -> NDArray[np.uint8]:
        if not self.path.stat().st_size:
            return np.zeros(0, np.uint8)
        return np.asarray(np.memmap(self.path, np.uint8, mode="r"))

    def _view(self, stored: _Stored) -> NDArray[Any]:
        dtype = np.dtype(stored.dtype)
        length = int(np.prod(stored.shape)) * dtype.itemsize
        part = self._bytes[stored.offset : stored.offset + length]
        return part.view(dtype).reshape(stored.shape)


def resample(
    image: NDArray[np.uint8], annotation: Annotation, factor: float
) -> tuple[NDArray[np.uint8], Annotation]:
    """Image and annotation enlarged by `factor`; as they are within 1 % of 1.

    Areas are averaged when shrinking, cubics drawn when enlarging; instances take the nearest
    pixel. Points move by (x + ½) f − ½, with f the ratio of the sizes in whole pixels.
    """
    if abs(factor - 1) <= SAME_SCALE:
        return image, annotation
    height, width = image.shape[:2]
    new_height, new_width = max(1, round(height * factor)), max(1, round(width * factor))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(image, (new_width, new_height), interpolation=method)
    return resized, _scaled(annotation, (height, width), (new_height, new_width))


def _scaled(annotation: Annotation, old: tuple[int, int], new: tuple[int, int]) -> Annotation:
    fy, fx = new[0] / old[0], new[1] / old[1]
    matrix = [fx, 0, 0, fy, (fx - 1) / 2, (fy - 1) / 2]

    def moved(geometry: BaseGeometry) -> BaseGeometry:
        return affine_transform(geometry, matrix)

    instances = annotation.instances
    if instances is not None:
        rows = ((np.arange(new[0]) + 0.5) / fy).astype(np.intp)
        columns = ((np.arange(new[1]) + 0.5) / fx).astype(np.intp)
        instances = instances[rows[:, None], columns]
    return replace(
        annotation,
        points=((annotation.points + 0.5) * (fx, fy) - 0.5).astype(np.float32),
        instances=instances,
        outlines=tuple(None if o is None else moved(o) for o in annotation.outlines),
        labelled_regions=tuple(moved(region) for region in annotation.labelled_regions),
        region_labels=tuple((name, moved(region)) for name, region in annotation.region_labels),
    )


def _stored_sample(file: IO[bytes], sample: Sample, mpp: float) -> _Entry:
    image, annotation = sample.image(), sample.annotation()
    if annotation.instances is not None and annotation.instances.shape != image.shape[:2]:
        raise UserError(
            f"{sample.image_path} is {image.shape[1]} × {image.shape[0]} pixels, but its instance "
            f"map is {annotation.instances.shape[1]} × {annotation.instances.shape[0]}; "
            f"give it the map that was drawn on it."
        )
    image, annotation = resample(image, annotation, sample.mpp / mpp)
    instances = labelled = None
    if annotation.instances is not None:
        instances = _append(file, annotation.instances.astype(np.int32, copy=False))
    if annotation.labelled_regions:
        labelled = _append(file, labelled_mask(annotation, image.shape[:2]).astype(np.uint8))
    return _Entry(_append(file, image), replace(annotation, instances=None), instances, labelled)


def _append(file: IO[bytes], array: NDArray[Any]) -> _Stored:
    # Aligned, so that int32 maps can be viewed in place.
    offset = file.tell() + -file.tell() % 64
    try:
        file.write(b"\0" * (offset - file.tell()))
        file.write(np.ascontiguousarray(array).data)
        file.flush()
    except OSError as error:
        raise _not_written(Path(file.name), error) from error
    return _Stored(offset, array.shape, array.dtype.str)


def _temporary_file(folder: Path | None) -> Path:
    try:
        handle, name = tempfile.mkstemp(prefix="transfer-kit-images-", suffix=".bin", dir=folder)
    except OSError as error:
        raise _not_written(folder or Path(tempfile.gettempdir()), error) from error
    os.close(handle)
    return Path(name)


def _not_written(path: Path, error: OSError) -> UserError:
    return UserError(
        f"The decoded images cannot be written to {path} ({error.strerror}); "
        f"set TMPDIR to a folder with space."
    )


def _remove_in(process: int, path: Path) -> None:
    # A forked worker inherits the finaliser, and must leave the file to its parent.
    if os.getpid() == process:
        path.unlink(missing_ok=True)
