"""Detectors by name: those that ship, those that the user added, and files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.files import replacing
from transfer_kit.stores.locations import shipped, user_folder

if TYPE_CHECKING:
    from transfer_kit.detector import Detector

WEIGHTS = "detector.safetensors"


@dataclass(frozen=True)
class StoredModel:
    """A detector that a store holds."""

    name: str
    folder: Path
    ships: bool

    @property
    def weights(self) -> Path:
        """The weights file."""
        return self.folder / WEIGHTS


def list_models() -> list[StoredModel]:
    """All detectors by name; the user's own hide shipped ones of the same name."""
    found: dict[str, StoredModel] = {}
    for root, ships in ((shipped("models"), True), (user_folder() / "models", False)):
        for weights in sorted(root.glob(f"*/{WEIGHTS}")):
            found[weights.parent.name] = StoredModel(weights.parent.name, weights.parent, ships)
    return [found[name] for name in sorted(found)]


def find_weights(name: str) -> Path:
    """The weights file of a model name, an organ (its everyday detector), a file or a run folder.

    Raises:
        UserError: nothing goes by that name; the nearest that does is named.
    """
    place = Path(name).expanduser()
    models = {model.name: model for model in list_models()}
    for candidate in (name, f"micronet-{name}"):
        if candidate in models:
            return models[candidate].weights
    if place.is_file():
        return place
    if (place / WEIGHTS).is_file():
        return place / WEIGHTS
    if place.is_dir():
        raise UserError(f"There is no {WEIGHTS} in {place}; has its training ended?")
    if name.endswith(".safetensors") or os.sep in name:
        raise UserError(f"There is no detector at {place}; check the path.")
    organs = [known.removeprefix("micronet-") for known in models if known.startswith("micronet-")]
    raise UserError(
        f"There is no base organ or model {name!r}. {nearest_hint(name, [*models, *organs])}"
    )


def add_model(detector: Detector, name: str, *, replace: bool = False) -> StoredModel:
    """Keep a detector in the user's store under `name`.

    Raises:
        UserError: the name is taken and `replace` is not given, or is no plain name.
    """
    folder = user_folder() / "models" / check_model_name(name)
    if folder.exists() and not replace:
        raise UserError(f"A model {name} is in the store already; add --replace or another --name.")
    write_model(detector, name, folder)
    return StoredModel(name, folder, ships=False)


def check_model_name(name: str) -> str:
    """The name, where it can be a folder's.

    Raises:
        UserError: it is no plain name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"{name!r} is no model name; use letters, digits, dots and dashes.")
    return name


def write_model(detector: Detector, name: str, folder: Path, *, half: bool = False) -> None:
    """Write the weights, and the card beside them as people read it, as one folder."""
    named = detector.copy()
    named.card.name = name
    with replacing(folder) as temporary:
        named.save(temporary / WEIGHTS, half=half)
        text = card_yaml(named.card.model_dump(mode="json"))
        (temporary / "card.yaml").write_text(text, encoding="utf-8")


def card_yaml(card: dict[str, object]) -> str:
    """A card as people read it."""
    return yaml.safe_dump(card, sort_keys=False, allow_unicode=True)
