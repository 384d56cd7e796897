"""Detectors on their way between the user's store and a model registry."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.stores.locations import user_folder
from transfer_kit.stores.models import (
    WEIGHTS,
    StoredModel,
    card_yaml,
    check_model_name,
    list_models,
    write_model,
)
from transfer_kit.weights_file import read_card, weights_hash

if TYPE_CHECKING:
    from transfer_kit.tracking.registry import Registry, Version


def push_model(weights: Path, name: str, registry: Registry, *, run_id: str = "") -> Version:
    """Register a detector under a name; weights that are registered already are found again.

    Args:
        weights: Its file.
        name: Of the registered model, which the registered card bears, too.
        registry: Of the store.
        run_id: MLflow's identifier of the run that made it, where one did.

    Raises:
        UserError: the name is no plain name, the file is no detector, or the registry refuses it.
    """
    check_model_name(name)
    detector = Detector.load(weights)
    card = detector.card
    tags = {"organ": card.organ, "stain": card.stain, "licence": card.licence}
    if card.measured:
        tags["f1"] = card.measured[0].in_words()
    with tempfile.TemporaryDirectory(prefix="transfer-kit-push-") as aside:
        file = Path(aside) / WEIGHTS
        if card.name == name:
            shutil.copyfile(weights, file)
        else:
            card.name = name
            detector.save(file)
        return registry.push(file, name, sha256=weights_hash(file), run_id=run_id, tags=tags)


def pull_model(
    version: Version, registry: Registry, *, name: str | None = None, replace: bool = False
) -> StoredModel:
    """Bring a registered detector into the user's store, byte for byte.

    Args:
        version: From `Registry.find`.
        registry: That it is of.
        name: What to call it here; the registered name by default.
        replace: Whether it may take the place of other weights.

    Raises:
        UserError: the file is not what was registered or no detector, or the name is taken by
            other weights.
    """
    own = check_model_name(name or version.name)
    with tempfile.TemporaryDirectory(prefix="transfer-kit-pull-") as aside:
        file = registry.download(version, Path(aside))
        found = weights_hash(file)
        if version.sha256 and found != version.sha256:
            raise UserError(
                f"The weights of {version} have the hash {found[:12]}…, but {version.sha256[:12]}… "
                "was registered; the file was changed or damaged, so push it again."
            )
        detector = Detector.load(file)
        there = {model.name: model for model in list_models()}.get(own)
        if there is not None and _is_same(there, file, own):
            return there
        if there is not None and not replace:
            raise UserError(
                f"A model {own} with other weights is in {there.folder} already; add --replace, or "
                "--name with another name."
            )
        return _keep(detector, file, own)


def _is_same(there: StoredModel, file: Path, name: str) -> bool:
    """Whether the store holds these weights under this name, perhaps with the card renamed."""
    if weights_hash(there.weights) == weights_hash(file):
        return True
    with tempfile.TemporaryDirectory(prefix="transfer-kit-pull-") as aside:
        renamed = Detector.load(file)
        renamed.card.name = name
        return weights_hash(renamed.save(Path(aside) / WEIGHTS)) == weights_hash(there.weights)


def _keep(detector: Detector, file: Path, name: str) -> StoredModel:
    folder = user_folder() / "models" / name
    if detector.card.name != name:
        write_model(detector, name, folder)
        return StoredModel(name, folder, ships=False)
    with replacing(folder) as temporary:
        temporary.mkdir(parents=True)
        shutil.copyfile(file, temporary / WEIGHTS)
        text = card_yaml(read_card(file).model_dump(mode="json"))
        (temporary / "card.yaml").write_text(text, encoding="utf-8")
    return StoredModel(name, folder, ships=False)
