"""From what the command line names to the images of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transfer_kit.data.card import CARD_NAME
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.slides.finding import is_slide_folder
from transfer_kit.errors import UserError
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.viewer.folder_images import images_of_dataset, images_of_folder
from transfer_kit.viewer.found_files import pair_found
from transfer_kit.viewer.label_cutting import kept_in
from transfer_kit.viewer.shown import Opened, Shown
from transfer_kit.viewer.truth import pair_truth


@dataclass(frozen=True)
class _Part:
    """The images of one place, its name, and the classes that its card names."""

    name: str
    images: tuple[Shown, ...]
    classes: tuple[str, ...] = ()


def open_places(
    places: Sequence[str],
    *,
    nuclei: Path | None = None,
    truth: str | None = None,
    label: Path | None = None,
    mpp: float | None = None,
) -> Opened:
    """The images of slides, folders and datasets, with what belongs to each.

    Args:
        places: Files, folders, or names of datasets.
        nuclei: Where detections lie: a file or a folder.
        truth: What they are compared with: a file, a folder or the name of a dataset.
        label: Folder of the dataset that labelled regions are cut out into.
        mpp: µm per pixel of all images.

    Raises:
        UserError: nothing is there, or what is given does not fit.
    """
    parts = [_opened(place) for place in places]
    images = _named_apart([image for part in parts for image in part.images])
    paths = [image.path for image in images]
    found = {} if nuclei is None else pair_found(nuclei, paths)
    truths = {} if truth is None else pair_truth(truth, paths)
    images = [
        replace(
            image,
            found=found.get(image.path),
            truth=truths.get(image.path),
            mpp=mpp or image.mpp,
            labels=image.labels if label is None else kept_in(label, image),
            note=image.note if label is None else "",
        )
        for image in images
    ]
    names = dict.fromkeys(name for part in parts for name in part.classes)
    return Opened(", ".join(part.name for part in parts), tuple(images), tuple(names), label)


def _opened(name: str) -> _Part:
    place = Path(name).expanduser()
    is_card = place.suffix in (".yaml", ".yml")
    if (place.is_file() and not is_card) or (place.is_dir() and is_slide_folder(place)):
        (image,) = images_of_folder(place.parent, [place])
        return _Part(place.name, (image,))
    if place.is_dir() and not (place / CARD_NAME).exists():
        return _Part(place.resolve().name, images_of_folder(place))
    dataset = _dataset(name, place)
    return _Part(dataset.name, images_of_dataset(dataset), tuple(dataset.card.classes))


def _dataset(name: str, place: Path) -> Dataset:
    if place.exists():
        return Dataset.open(place)
    try:
        return find_dataset(name)
    except UserError as error:
        raise UserError(f"{name} is no slide, image or folder here. {error}") from None


def _named_apart(images: Iterable[Shown]) -> list[Shown]:
    """Each image once, and by its whole path where a name is there twice."""
    by_path: dict[Path, Shown] = {}
    for image in images:
        by_path.setdefault(image.path.resolve(), image)
    names = Counter(image.name for image in by_path.values())
    return [
        image if names[image.name] == 1 else replace(image, name=str(path))
        for path, image in by_path.items()
    ]
