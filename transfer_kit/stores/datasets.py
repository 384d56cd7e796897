"""Datasets by name: folders, embedded synthetic organs, the user's own, and shipped cards."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import Progress

from transfer_kit import __version__
from transfer_kit.data.card import CARD_NAME, DatasetCard, SplitPlan, write_splits
from transfer_kit.data.dataset import Dataset
from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.files import replacing
from transfer_kit.stores.locations import cache_folder, data_folders, shipped, user_folder

Origin = Literal["embedded", "added", "shipped"]


@dataclass(frozen=True)
class StoredDataset:
    """A dataset that goes by a name.

    Attributes:
        card: Of an embedded organ that was not drawn yet, what it will be, but for its splits.
        root: Folder of the images; None where they are not on this machine.
    """

    name: str
    origin: Origin
    card: DatasetCard
    root: Path | None


def list_datasets() -> list[StoredDataset]:
    """All datasets that go by a name: embedded organs first, then the user's, then shipped ones."""
    from transfer_kit.data.synthetic import ORGANS

    found = [_embedded(organ) for organ in ORGANS]
    for name, (origin, path) in sorted(_named_cards().items(), key=lambda item: item[1][0]):
        if path.is_file():
            card = DatasetCard.read(path)
            found.append(StoredDataset(name, origin, card, _root_of(card, path)))
    return found


def find_dataset(name_or_path: str | Path) -> Dataset:
    """A dataset by folder, yaml file, embedded organ, or the name of an added or shipped one.

    An embedded organ is made on first use and kept in the cache.

    Raises:
        UserError: nothing goes by that name (the nearest is named), or its images are not here.
    """
    from transfer_kit.data.synthetic import ORGANS

    name, place = str(name_or_path), Path(name_or_path).expanduser()
    if isinstance(name_or_path, Path) or os.sep in name or name.endswith((".yaml", ".yml")):
        return Dataset.open(_card_of_folder(place) or place)
    organ = name.removesuffix("-synthetic")
    if organ in ORGANS:
        return Dataset.open(_made(organ))
    cards = _named_cards()
    if name in cards:
        return _open_card(name, cards[name][1])
    if place.is_dir():
        return Dataset.open(_card_of_folder(place) or place)
    raise UserError(
        f"There is no organ, dataset or folder {name!r}. {nearest_hint(name, {*ORGANS, *cards})} "
        "'transfer-kit data list' shows all."
    )


def add_dataset(folder: Path, fields: dict[str, Any], *, replace: bool = False) -> Path:
    """Write the card of a folder of images, make it known by name, and give back the card's path.

    The card goes into the folder, or into the user's store where the folder is read-only.

    Raises:
        UserError: a field does not fit, the name is taken, or nothing can be written.
    """
    folder = folder.resolve()
    card = DatasetCard.of_fields(fields)
    own = folder / CARD_NAME
    if own.exists() and not replace:
        raise UserError(f"{own} is there already; edit it, or write it anew with --replace.")
    _refuse_taken(card.name, folder, replace)
    Dataset.of_card(card, folder / card.root)
    if _may_be_written(folder):
        card.write(own)
        return register(folder, replace=replace)
    stored = _user_cards() / f"{card.name}.yaml"
    card.model_copy(update={"root": str(folder / card.root)}).write(stored)
    return stored


def register(folder: Path, *, replace: bool = False) -> Path:
    """Make a folder that has a `dataset.yaml` known by the name in it; gives back the yaml's path.

    Raises:
        UserError: the yaml has faults, or the name is taken.
    """
    folder = folder.resolve()
    card = DatasetCard.read(folder / CARD_NAME)
    _refuse_taken(card.name, folder, replace)
    with replacing(_user_cards() / f"{card.name}.path") as temporary:
        temporary.write_text(f"{folder}\n", encoding="utf-8")
    (_user_cards() / f"{card.name}.yaml").unlink(missing_ok=True)
    return folder / CARD_NAME


def _may_be_written(folder: Path) -> bool:
    """Whether the folder is meant to be written; root may write anywhere, but should not."""
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def _refuse_taken(name: str, folder: Path, replace: bool) -> None:
    from transfer_kit.data.synthetic import ORGANS

    if name.removesuffix("-synthetic") in ORGANS:
        raise UserError(f"{name} is an embedded organ; choose another name with --name.")
    origin, path = _named_cards().get(name, ("shipped", folder / CARD_NAME))
    if origin == "added" and path != folder / CARD_NAME and not replace:
        raise UserError(
            f"A dataset {name} was added already ({path}); choose another --name, or add --replace."
        )


def save_splits(name_or_path: str, dataset: Dataset, plan: SplitPlan) -> Path:
    """Write `plan` into the card of a dataset and give back the path of that yaml.

    A shipped card, or one in a read-only folder, is not changed: a copy of it with the plan goes
    into the user's store, which then hides it under its name.

    Raises:
        UserError: it is an embedded organ, or has no yaml.
    """
    path = dataset.path
    if path is None:
        raise UserError(f"{name_or_path} has no {CARD_NAME}; run 'transfer-kit data add' first.")
    if path.is_relative_to(cache_folder()):
        raise UserError(
            f"{dataset.name} is an embedded organ, whose splits are fixed; "
            f"'transfer-kit data convert {dataset.name} -o FOLDER' makes a copy that is yours."
        )
    if path.is_relative_to(shipped("datasets")) or not _may_be_written(path.parent):
        own = _user_cards() / f"{dataset.name}.yaml"
        update = {"splits": plan, "root": str(dataset.root.resolve())}
        dataset.card.model_copy(update=update).write(own)
        return own
    write_splits(path, plan)
    return path


def _user_cards() -> Path:
    return user_folder() / "datasets"


def _named_cards() -> dict[str, tuple[Origin, Path]]:
    """The yaml of each shipped and added dataset; the user's own hide shipped ones.

    In the user's store `NAME.path` holds the folder of a `dataset.yaml`, and `NAME.yaml` is the
    card of a folder that cannot be written.
    """
    cards: dict[str, tuple[Origin, Path]] = {}
    for path in sorted(shipped("datasets").glob("*.yaml")):
        cards[path.stem] = "shipped", path
    for path in sorted(_user_cards().glob("*.path")):
        folder = Path(path.read_text(encoding="utf-8").strip())
        cards[path.stem] = "added", folder / CARD_NAME
    for path in sorted(_user_cards().glob("*.yaml")):
        cards[path.stem] = "added", path
    return cards


def _card_of_folder(folder: Path) -> Path | None:
    """The yaml in the user's store of a folder that holds none (a read-only one)."""
    if not folder.is_dir() or (folder / CARD_NAME).exists():
        return None
    for path in sorted(_user_cards().glob("*.yaml")):
        root = Path(DatasetCard.read(path).root)
        if root.is_absolute() and root.resolve() == folder.resolve():
            return path
    return None


def _root_of(card: DatasetCard, path: Path) -> Path | None:
    root = Path(card.root).expanduser()
    places = [path.parent / root]
    if path.is_relative_to(shipped("datasets")):
        places = [folder / root for folder in data_folders()]
    return next((place for place in places if place.is_dir()), None)


def _open_card(name: str, path: Path) -> Dataset:
    if not path.is_file():
        raise UserError(
            f"{name} was added from {path.parent}, where it no longer is; add it again with "
            "'transfer-kit data add FOLDER --replace'."
        )
    card = DatasetCard.read(path)
    root = _root_of(card, path)
    if root is not None:
        return Dataset.open(path, root=root)
    if not path.is_relative_to(shipped("datasets")):
        raise UserError(
            f"The images of {name} are no longer in {card.root}; mend 'root' in {path}."
        )
    raise UserError(
        f"The images of {name} are not on this machine; download them from {card.source} "
        f"into a folder {card.root} and set TRANSFER_KIT_DATA to the folder above it."
    )


def _embedded(organ: str) -> StoredDataset:
    folder = _embedded_folder(organ)
    if (folder / CARD_NAME).exists():
        return StoredDataset(organ, "embedded", DatasetCard.read(folder / CARD_NAME), folder)
    return StoredDataset(organ, "embedded", _card_before_drawing(organ), None)


def _card_before_drawing(organ: str) -> DatasetCard:
    from transfer_kit.data.synthetic.dataset import dataset_card

    # How many cases there will be, and with them the splits, is the drawing's affair.
    fields = dataset_card(organ, cases=3, seed=0)
    return DatasetCard.of_fields({name: fields[name] for name in fields.keys() - {"splits"}})


def _embedded_folder(organ: str) -> Path:
    return cache_folder() / "datasets" / f"{organ}-{__version__}"


def _made(organ: str) -> Path:
    """The folder of an embedded organ, drawn now if it was not yet."""
    from transfer_kit.data.synthetic import make_dataset

    final = _embedded_folder(organ)
    if (final / CARD_NAME).exists():
        return final
    # Drawn beside and renamed: whoever comes first wins, and nobody reads half a dataset.
    temporary = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task(f"Drawing the synthetic organ {organ} (once)", total=None)
            make_dataset(
                organ,
                temporary,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        try:
            temporary.rename(final)
        except OSError:
            if not (final / CARD_NAME).exists():
                raise
    except OSError as error:
        raise UserError(
            f"{final} cannot be written ({error.strerror}); free some space, or set "
            "TRANSFER_KIT_HOME to another folder."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final
