"""Which images of a folder or dataset are labelled already, and which may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfer_kit.data.card import CARD_NAME
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.listing import list_samples
from transfer_kit.data.sample import Sample
from transfer_kit.data.unlabelled import bare_images
from transfer_kit.errors import UserError
from transfer_kit.stores.datasets import find_dataset, list_datasets
from transfer_kit.wording import counted


@dataclass(frozen=True)
class LabelPool:
    """Images of one place.

    Attributes:
        labelled: Those whose nuclei are annotated, in the whole image or in regions of it.
        unlabelled: All others.
        n_test: Images of test cases, which are in neither: labels of them teach nothing.
    """

    labelled: tuple[Sample, ...]
    unlabelled: tuple[Sample, ...]
    n_test: int = 0


def label_pool(images: str, *, mpp: float | None = None) -> LabelPool:
    """The images of a dataset, or of a folder of images that need not be one yet.

    Args:
        images: A dataset's name, its folder or yaml file, or a folder of images.
        mpp: µm per pixel of the images of a folder that is no dataset, where they do not say.

    Raises:
        UserError: nothing is there, an image does not tell its scale, an annotation is damaged, or
            all images are labelled.
    """
    dataset = _dataset(images)
    if dataset is None:
        folder = Path(images).expanduser()
        samples, test = list_samples(bare_images(folder, stain="H&E", mpp=mpp).card, folder), 0
    elif mpp is not None:
        raise UserError(f"{images} says its µm per pixel in {CARD_NAME}; leave out --mpp.")
    else:
        samples = tuple(sample for sample in dataset if dataset.split_of(sample) != "test")
        test = len(dataset) - len(samples)
    labelled = tuple(sample for sample in samples if _is_labelled(sample))
    unlabelled = tuple(sample for sample in samples if sample not in set(labelled))
    if not unlabelled:
        tested = f" (and {counted(test, 'image')} are of test cases)" if test else ""
        hidden = dataset is not None and dataset.card.only_annotated
        raise UserError(
            f"All {counted(len(labelled), 'image')} of {images} are labelled already{tested}; "
            + (
                f"set 'only_annotated: false' in its {CARD_NAME} if there are others."
                if hidden
                else "give a folder with images that are not."
            )
        )
    return LabelPool(labelled, unlabelled, test)


def _dataset(images: str) -> Dataset | None:
    """The dataset that is meant; None for a folder of images without a card."""
    place = Path(images).expanduser()
    known = list_datasets()
    if not place.is_dir() or (place / CARD_NAME).exists():
        return find_dataset(images)
    if any(images in (each.name, f"{each.name}-synthetic") for each in known):
        return find_dataset(images)
    # The card of a folder that cannot be written lies in the user's store.
    for each in known:
        if each.root is not None and each.root.resolve() == place.resolve():
            return find_dataset(each.name)
    return None


def _is_labelled(sample: Sample) -> bool:
    return sample.source is not None and sample.annotation().knows_nuclei
