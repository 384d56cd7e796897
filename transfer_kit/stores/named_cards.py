"""Where the yaml of each dataset lies that goes by a name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from transfer_kit.data.card import CARD_NAME, DatasetCard
from transfer_kit.stores.locations import data_folders, shipped, user_folder

Origin = Literal["embedded", "added", "shipped"]


def user_cards() -> Path:
    """The user's folder of datasets."""
    return user_folder() / "datasets"


def named_cards() -> dict[str, tuple[Origin, Path]]:
    """The yaml of each shipped and added dataset; the user's own hide shipped ones.

    In the user's store `NAME.path` holds the folder of a `dataset.yaml`, and `NAME.yaml` is the
    card of a folder that cannot be written.
    """
    cards: dict[str, tuple[Origin, Path]] = {}
    for path in sorted(shipped("datasets").glob("*.yaml")):
        cards[path.stem] = "shipped", path
    for path in sorted(user_cards().glob("*.path")):
        folder = Path(path.read_text(encoding="utf-8").strip())
        cards[path.stem] = "added", folder / CARD_NAME
    for path in sorted(user_cards().glob("*.yaml")):
        cards[path.stem] = "added", path
    return cards


def root_of(card: DatasetCard, path: Path) -> Path | None:
    """The folder of a card's images; None where they are not on this machine."""
    root = Path(card.root).expanduser()
    places = [path.parent / root]
    if path.is_relative_to(shipped("datasets")):
        places = [folder / root for folder in data_folders()]
    return next((place for place in places if place.is_dir()), None)
