"""Images whose annotations are not there, or are not to be looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.card import DatasetCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.formats import list_images
from transfer_kit.data.images import IMAGE_SUFFIXES, read_mpp
from transfer_kit.data.patients import TCGA_PATIENT
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError


@dataclass(frozen=True)
class UnlabelledSample(Sample):
    """An image of which no annotation is ever read, so that none can have a say."""

    def annotation(self) -> Annotation:
        """No nucleus, whatever lies beside the image."""
        return Annotation.of_points(np.zeros((0, 2), np.float32))

    @classmethod
    def of(cls, sample: Sample) -> UnlabelledSample:
        """The image of a sample, without its annotation."""
        return cls(
            id=sample.id,
            case=sample.case,
            image_path=sample.image_path,
            mpp=sample.mpp,
            window=sample.window,
        )


def without_labels(dataset: Dataset) -> Dataset:
    """The images of a dataset, or of a part of it, without their annotations."""
    samples = tuple(UnlabelledSample.of(sample) for sample in dataset)
    return replace(dataset, samples=samples, part=f"{dataset.part}, without labels")


def bare_images(folder: Path, *, stain: str, mpp: float | None = None) -> Dataset:
    """All images of a folder that needs no `dataset.yaml`, without annotations.

    Each image is a case, or each patient where names hold TCGA's.

    Args:
        folder: Images, also in folders below it; label images and masks are left out.
        stain: Of all of them.
        mpp: µm per pixel of all of them; by default what each file says of itself.

    Raises:
        UserError: the folder is not there or has no image, or an image does not tell its scale.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder of images; check the path.")
    images = list_images(folder)
    if not images:
        raise UserError(f"{folder} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    samples = tuple(_sample(image, folder, mpp) for image in images)
    scales = {sample.image_path.relative_to(folder).as_posix(): sample.mpp for sample in samples}
    card = DatasetCard(
        name=re.sub(r"[^\w.+-]+", "-", folder.resolve().name).strip("-.+") or "images",
        organ="",
        stain=stain,
        mpp_by_image=scales,
        licence="unstated",
    )
    return Dataset(card, samples, {}, folder, part="without labels")


def _sample(image: Path, folder: Path, mpp: float | None) -> UnlabelledSample:
    scale = mpp or read_mpp(image)
    if scale is None:
        raise UserError(
            f"{image} does not say its scale; add --mpp with its µm per pixel (40x is about 0.25)."
        )
    name = image.relative_to(folder).as_posix()
    patient = re.search(TCGA_PATIENT, name)
    return UnlabelledSample(
        id=name, case=patient[1] if patient else name, image_path=image, mpp=scale
    )
