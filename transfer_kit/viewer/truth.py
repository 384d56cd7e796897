"""What detections are compared with, where it is not the labels of the images themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer_kit.data.card import CARD_NAME
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.formats import FORMATS, AnnotationSource, RegionNames, find_annotations
from transfer_kit.errors import UserError
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.viewer.folder_images import region_names
from transfer_kit.viewer.shown import Truth
from transfer_kit.wording import counted


def pair_truth(truth: str, images: Sequence[Path]) -> dict[Path, Truth]:
    """The annotation of each image that has one in a file, a folder or a dataset.

    Raises:
        UserError: there is no such thing, or it knows none of the images.
    """
    place = Path(truth).expanduser()
    if place.is_file() and place.suffix not in (".yaml", ".yml"):
        return {images[0]: Truth(_source(place, images), RegionNames())}
    if place.is_dir() and not (place / CARD_NAME).exists():
        found = _in_folder(place, images)
    else:
        found = _in_dataset(Dataset.open(place) if place.exists() else find_dataset(truth), images)
    if not found:
        raise UserError(f"{truth} knows none of these images, such as {images[0].name}; check it.")
    return found


def _source(place: Path, images: Sequence[Path]) -> AnnotationSource:
    if len(images) != 1:
        raise UserError(
            f"{place} is one file, but {counted(len(images), 'image')} were opened; give the "
            "folder of their annotations, or a dataset."
        )
    for name, known in FORMATS.items():
        if known.recognises(place):
            return AnnotationSource(name, (place,))
    raise UserError(f"{place} is in no format known ({', '.join(FORMATS)}); convert it.")


def _in_folder(folder: Path, images: Sequence[Path]) -> dict[Path, Truth]:
    """By name, as if the images lay in the folder."""
    there = {image: folder / image.name for image in images}
    sources = find_annotations(folder, list(there.values()))
    return {
        image: Truth(sources[path], RegionNames())
        for image, path in there.items()
        if path in sources
    }


def _in_dataset(dataset: Dataset, images: Sequence[Path]) -> dict[Path, Truth]:
    by_name = {}
    for sample in dataset:
        if sample.source is not None:
            known = Truth(sample.source, region_names(sample), sample.positives_only)
            by_name[sample.image_path.name] = by_name[sample.image_path.stem] = known
    found = {image: by_name.get(image.name) or by_name.get(image.stem) for image in images}
    return {image: known for image, known in found.items() if known is not None}
