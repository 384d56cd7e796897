"""Which stain the images of a training are brought to: the recipe's word, or the base's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer_kit.card import DetectorCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.stain import NAMED, StainReference, Stains, find_reference, stains_of
from transfer_kit.errors import UserError
from transfer_kit.recipe import Recipe
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights, list_models
from transfer_kit.stores.pair_leaks import patients_of
from transfer_kit.weights_file import read_card


def choose_stain(
    card: DetectorCard, recipe: Recipe, targets: Sequence[Dataset], base: DetectorCard | None
) -> None:
    """Write into the card of a training's start how images are brought to a stain, and to which.

    What the recipe does not say is the base's.

    Raises:
        UserError: the reference is missing, has no numbers for the method or is of other dyes
            than a target, or a source of stain statistics is unknown or has a patient whom a
            target tests.
    """
    for source in recipe.stain.sources:
        _refuse_tested_patients(source, targets)
    card.stain = targets[0].card.stain
    if base is not None and not _says_how(recipe):
        card.normalise, card.stain_reference = base.normalise, base.stain_reference
    else:
        card.normalise = recipe.stain.normalise
        if card.normalise != "none":
            card.stain_reference = _reference(recipe, base, stains_of(card.stain))
    normaliser = card.normaliser
    if normaliser is not None:
        _refuse_other_dyes(normaliser.reference, targets)


def settled_stain(recipe: Recipe, start: DetectorCard) -> dict[str, str]:
    """The fields of the recipe that say what was chosen."""
    if start.normalise == "none" and not _says_how(recipe):
        return {}
    path = Path(recipe.stain.reference).expanduser()
    reference = str(path.resolve()) if path.is_file() else recipe.stain.reference
    named = "base" if not _says_how(recipe) else reference
    return {"stain.normalise": start.normalise, "stain.reference": named}


def _says_how(recipe: Recipe) -> bool:
    return "stain" in recipe.model_fields_set and "normalise" in recipe.stain.model_fields_set


def _reference(recipe: Recipe, base: DetectorCard | None, stains: Stains) -> StainReference:
    name = recipe.stain.reference
    if name == "base":
        if base is None:
            raise UserError(
                "stain.reference is base, but this training has none; name a reference "
                f"({', '.join(NAMED)}), a detector or an image file."
            )
        return _of_card(base)
    if name not in NAMED and _is_detector(name):
        return _of_card(read_card(find_weights(name)))
    return find_reference(name, stains=stains, luminosity=recipe.stain.luminosity)


def _of_card(card: DetectorCard) -> StainReference:
    if card.stain_reference is None:
        raise UserError(
            f"The card of {card.name} holds no stain reference; set stain.reference to "
            f"{', '.join(NAMED)} or an image file, or train the detector again."
        )
    return card.stain_reference


def _is_detector(name: str) -> bool:
    models = {model.name for model in list_models()}
    path = Path(name).expanduser()
    known = name in models or f"micronet-{name}" in models
    return known or name.endswith(".safetensors") or path.is_dir()


def _refuse_tested_patients(source: str, targets: Sequence[Dataset]) -> None:
    learned = find_dataset(source).split("train")
    known = patients_of(learned.card.name, learned)
    for target in targets:
        tested = patients_of(target.card.name, target.split("test"))
        shared = sorted(case for patient in known.keys() & tested for case in tested[patient])
        if shared:
            raise UserError(
                f"stain.sources: {source} has patients whom {target.card.name} tests "
                f"({', '.join(shared)}), so that their colours would be known; leave it out."
            )


def _refuse_other_dyes(reference: StainReference, targets: Sequence[Dataset]) -> None:
    for target in targets:
        stains = stains_of(target.card.stain)
        if stains != reference.stains:
            raise UserError(
                f"The stain reference {reference.name} is of {reference.stains}, but "
                f"{target.card.name} is {target.card.stain}; choose a reference of {stains}."
            )
