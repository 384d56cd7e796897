"""Datasets by name: folders, embedded synthetic organs, the user's own, and shipped cards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from transfer_kit import __version__
from transfer_kit.data.card import CARD_NAME, DatasetCard, SplitPlan, write_splits
from transfer_kit.data.dataset import Dataset
from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.files import replacing
from transfer_kit.stores.keeping_tests import Note, remember_tests, settle_splits
from transfer_kit.stores.locations import cache_folder, shipped
from transfer_kit.stores.named_cards import Origin, named_cards, root_of, user_cards


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


def _unheard(sentence: str) -> None:
    """Whoever asks for no notes is told none."""


def list_datasets() -> list[StoredDataset]:
    """All datasets that go by a name: embedded organs first, then the user's, then shipped ones."""
    from transfer_kit.data.synthetic import ORGANS

    found = [_embedded(organ) for organ in ORGANS]
    for name, (origin, path) in sorted(named_cards().items(), key=lambda item: item[1][0]):
        if path.is_file():
            card = DatasetCard.read(path)
            found.append(StoredDataset(name, origin, card, root_of(card, path)))
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
    cards = named_cards()
    if name in cards:
        return _open_card(name, cards[name][1])
    if place.is_dir():
        return Dataset.open(_card_of_folder(place) or place)
    raise UserError(
        f"There is no organ, dataset or folder {name!r}. {nearest_hint(name, {*ORGANS, *cards})} "
        "'transfer-kit data list' shows all."
    )


def add_dataset(
    folder: Path,
    fields: dict[str, Any],
    *,
    replace: bool = False,
    test_cases: Sequence[str] = (),
    note: Note = _unheard,
) -> Path:
    """Write the card of a folder of images, make it known by name, and give back the card's path.

    The card goes into the folder, or into the user's store where the folder is read-only. No case
    that a dataset of the lab is tested on may be learned from: see `settle_splits`.

    Raises:
        UserError: a field does not fit, the name is taken, a test case would be learned from, or
            nothing can be written.
    """
    folder = folder.resolve()
    card = DatasetCard.of_fields(fields)
    own = folder / CARD_NAME
    if own.exists() and not replace:
        raise UserError(f"{own} is there already; edit it, or write it anew with --replace.")
    _refuse_taken(card.name, folder, replace)
    dataset = Dataset.of_card(card, folder / card.root)
    settled = settle_splits(dataset, test_cases=test_cases, note=note)
    if settled.plan is not None:
        card = card.model_copy(update={"splits": settled.plan})
        dataset = Dataset.of_card(card, folder / card.root)
    if _may_be_written(folder):
        card.write(own)
        _note_place(card.name, folder)
    else:
        own = user_cards() / f"{card.name}.yaml"
        card.model_copy(update={"root": str(folder / card.root)}).write(own)
    remember_tests(dataset, settled.pictures)
    return own


def register(
    folder: Path,
    *,
    replace: bool = False,
    test_cases: Sequence[str] = (),
    note: Note = _unheard,
) -> Path:
    """Make a folder that has a `dataset.yaml` known by the name in it; gives back the yaml's path.

    Where its splits would let a test case be learned from, other splits are written into it.

    Raises:
        UserError: the yaml has faults, the name is taken, or a test case would be learned from.
    """
    folder = folder.resolve()
    path = folder / CARD_NAME
    card = DatasetCard.read(path)
    _refuse_taken(card.name, folder, replace)
    dataset = Dataset.open(folder)
    settled = settle_splits(dataset, test_cases=test_cases, note=note)
    _note_place(card.name, folder)
    if settled.plan is not None:
        path = save_splits(card.name, dataset, settled.plan)
    else:
        remember_tests(dataset, settled.pictures)
    return path


def _note_place(name: str, folder: Path) -> None:
    with replacing(user_cards() / f"{name}.path") as temporary:
        temporary.write_text(f"{folder}\n", encoding="utf-8")
    (user_cards() / f"{name}.yaml").unlink(missing_ok=True)


def _may_be_written(folder: Path) -> bool:
    """Whether the folder is meant to be written; root may write anywhere, but should not."""
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def _refuse_taken(name: str, folder: Path, replace: bool) -> None:
    from transfer_kit.data.synthetic import ORGANS

    if name.removesuffix("-synthetic") in ORGANS:
        raise UserError(f"{name} is an embedded organ; choose another name with --name.")
    origin, path = named_cards().get(name, ("shipped", folder / CARD_NAME))
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
        own = user_cards() / f"{dataset.name}.yaml"
        update = {"splits": plan, "root": str(dataset.root.resolve())}
        dataset.card.model_copy(update=update).write(own)
        path = own
    else:
        write_splits(path, plan)
    _, known = named_cards().get(dataset.name, ("shipped", None))
    if known is not None and known.resolve() == path.resolve():
        remember_tests(Dataset.open(path, root=dataset.root))
    return path


def _card_of_folder(folder: Path) -> Path | None:
    """The yaml in the user's store of a folder that holds none (a read-only one)."""
    if not folder.is_dir() or (folder / CARD_NAME).exists():
        return None
    for path in sorted(user_cards().glob("*.yaml")):
        root = Path(DatasetCard.read(path).root)
        if root.is_absolute() and root.resolve() == folder.resolve():
            return path
    return None


def _open_card(name: str, path: Path) -> Dataset:
    if not path.is_file():
        raise UserError(
            f"{name} was added from {path.parent}, where it no longer is; add it again with "
            "'transfer-kit data add FOLDER --replace'."
        )
    card = DatasetCard.read(path)
    root = root_of(card, path)
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
