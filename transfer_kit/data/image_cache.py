"""Decoded images at the training's pixel size, loaded once and shared by all worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.regions import labelled_mask, regions_inside
from transfer_kit.data.resampling import resample, scale_factor
from transfer_kit.data.shared_arrays import SharedArrays, Stored
from transfer_kit.data.stain.estimate import StainEstimate
from transfer_kit.data.unmarked import surely_labelled
from transfer_kit.errors import UserError

if TYPE_CHECKING:
    from transfer_kit.data.sample import Sample

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class _Entry:
    image: Stored
    annotation: Annotation
    instances: Stored | None
    labelled: Stored | None
    stain: StainEstimate | None


class ImageCache:
    """Images and annotations of many samples at one pixel size; see `SharedArrays`.

    Args:
        samples: Decoded once each, in this order, when the cache is made.
        mpp: µm per pixel to which images and annotations are resampled.
        folder: Where the temporary file goes; the system's temporary folder by default.
        prepare: What is done to each image first, such as bringing it to another stain; called
            with the image and its sample's id.
        estimate: Tells the stain of each image after that, called likewise; see `stain`.

    Raises:
        UserError: an image cannot be read, an instance map does not fit its image, or no space
            is left.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        mpp: float,
        folder: Path | None = None,
        *,
        prepare: Callable[[Image, str], Image] | None = None,
        estimate: Callable[[Image, str], StainEstimate] | None = None,
    ) -> None:
        self.mpp = mpp
        self.sample_ids = tuple(sample.id for sample in samples)
        self.cases = tuple(sample.case for sample in samples)
        self._arrays = SharedArrays(folder)
        try:
            self._entries = tuple(
                _stored_sample(self._arrays, sample, mpp, prepare, estimate) for sample in samples
            )
        except BaseException:
            self._arrays.close()
            raise

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, index: int) -> tuple[NDArray[np.uint8], Annotation]:
        """Image `(H, W, 3)` uint8, read-only, and its annotation in the same pixels."""
        entry = self._entries[index]
        annotation = entry.annotation
        if entry.instances is not None:
            annotation = replace(annotation, instances=self._arrays[entry.instances])
        return self._arrays[entry.image], annotation

    def labelled(self, index: int) -> NDArray[np.uint8] | None:
        """Where all nuclei are annotated `(H, W)` uint8 0 or 1; None where that is everywhere.

        Of an image with `positives_only` where they surely are; see `surely_labelled`.
        """
        stored = self._entries[index].labelled
        return None if stored is None else self._arrays[stored]

    def stain(self, index: int) -> StainEstimate | None:
        """The stain of an image, estimated once; None where the cache was not to estimate it."""
        return self._entries[index].stain

    def size(self, index: int) -> tuple[int, int]:
        """Height and width at the training's pixel size."""
        height, width = self._entries[index].image.shape[:2]
        return height, width

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """All images in order."""
        return (self._arrays[entry.image] for entry in self._entries)


def _stored_sample(
    arrays: SharedArrays,
    sample: Sample,
    mpp: float,
    prepare: Callable[[Image, str], Image] | None,
    estimate: Callable[[Image, str], StainEstimate] | None,
) -> _Entry:
    image, annotation = sample.image(), sample.annotation()
    if annotation.instances is not None and annotation.instances.shape != image.shape[:2]:
        raise UserError(
            f"{sample.image_path} is {image.shape[1]} × {image.shape[0]} pixels, but its instance "
            f"map is {annotation.instances.shape[1]} × {annotation.instances.shape[0]}; "
            f"give it the map that was drawn on it."
        )
    image = image if prepare is None else prepare(image, sample.id)
    stain = None if estimate is None else estimate(image, sample.id)
    image, annotation = resample(image, annotation, scale_factor(sample.mpp, mpp))
    annotation = regions_inside(annotation, image.shape[:2])
    instances = labelled = None
    if annotation.instances is not None:
        instances = arrays.add(annotation.instances.astype(np.int32, copy=False))
    if annotation.positives_only:
        labelled = arrays.add(surely_labelled(image, annotation, mpp).astype(np.uint8))
    elif annotation.labelled_regions:
        labelled = arrays.add(labelled_mask(annotation, image.shape[:2]).astype(np.uint8))
    bare = replace(annotation, instances=None)
    return _Entry(arrays.add(image), bare, instances, labelled, stain)
