"""One image of a Dataset and where its annotation lies; nothing is read before it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import AnnotationSource, ImageInfo, RegionNames, read_annotation
from transfer_kit.data.images import image_size, read_image
from transfer_kit.data.tiles import Window, annotation_in
from transfer_kit.errors import UserError


@dataclass(frozen=True)
class Sample:
    """One image with its case and scale.

    Attributes:
        id: Unique in the dataset: the image's path inside it, without suffix.
        case: The patient, or what else may not be divided between training and test.
        mpp: µm per pixel of the image.
        source: Where the annotation lies; None where there is none.
        labelled_region_class: QuPath class of labelled regions, beside the kit's own names.
        positives_only: Outside labelled regions only some nuclei are marked.
        window: The tile of the image that this sample is; None for the whole image.
    """

    id: str
    case: str
    image_path: Path
    mpp: float
    source: AnnotationSource | None = None
    labelled_region_class: str | None = None
    positives_only: bool = False
    window: Window | None = None

    def image(self) -> NDArray[np.uint8]:
        """The pixels, RGB `(H, W, 3)`.

        Raises:
            UserError: the file is missing, damaged or no colour image.
        """
        image = read_image(self.image_path)
        if self.window is None:
            return image
        x0, y0, width, height = self.window
        return np.ascontiguousarray(image[y0 : y0 + height, x0 : x0 + width])

    def annotation(self) -> Annotation:
        """What is known about the image.

        Raises:
            UserError: there is no annotation, or its file is damaged or does not fit the image.
        """
        if self.source is None:
            raise UserError(
                f"{self.image_path} has no annotation; add one, or leave the image out with "
                "'only_annotated: true' in dataset.yaml."
            )
        regions = RegionNames()
        if self.labelled_region_class:
            regions = replace(regions, labelled=(*regions.labelled, self.labelled_region_class))
        annotation = read_annotation(self.source, self.info, regions=regions)
        annotation = replace(annotation, positives_only=self.positives_only)
        return annotation if self.window is None else annotation_in(annotation, self.window)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        if self.window is not None:
            return self.window.height, self.window.width
        height, width = image_size(self.image_path)
        return height, width

    @property
    def info(self) -> ImageInfo:
        """What the reader of an annotation needs to know of the whole image."""
        height, width = image_size(self.image_path)
        return ImageInfo(self.image_path.name, self.image_path, height, width)
