"""`transfer-kit data show --stain`: a word for what is done to the stain, as a change of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.recipe import Recipe, parse_setting
from transfer_kit.settings import StainSettings

if TYPE_CHECKING:
    from transfer_kit.data.dataset import Dataset
    from transfer_kit.data.stain.sheet import Change

AUGMENTATIONS = ("hed", "jitter", "randstainna", "hestain")
NORMALISATIONS = ("macenko", "vahadane", "reinhard", "staintools-macenko", "staintools-vahadane")
_COLUMNS = 5


def write_stain_sheet(dataset: Dataset, kind: str, path: Path, settings: Sequence[str]) -> Path:
    """Write the page of one kind of augmentation or normalisation, with a recipe's settings.

    Args:
        dataset: Whose images.
        kind: One of `AUGMENTATIONS` or `NORMALISATIONS`.
        path: Of the PNG.
        settings: Fields of a recipe as `stain.factor=0.3`.

    Raises:
        UserError: the kind or a field is unknown, or the reference is missing.
    """
    from transfer_kit.data.stain import stains_of
    from transfer_kit.data.stain.sheet import stain_sheet

    known = (*AUGMENTATIONS, *NORMALISATIONS)
    if kind not in known:
        raise UserError(f"There is no stain setting {kind!r}. {nearest_hint(kind, known)}")
    fields: dict[str, Any] = dict(parse_setting(setting) for setting in settings)
    if kind in NORMALISATIONS:
        dab = stains_of(dataset.card.stain) == "H-DAB"
        usual = "immunohistochemistry" if dab else "tnbc"
        fields = {"stain.reference": usual} | fields | {"stain.normalise": kind}
    elif kind != "hed":
        fields |= {"stain.augment": kind}
    recipe = Recipe(target=dataset.name).replaced(**{"stain.probability": 1.0} | fields)
    said = ", ".join(settings)
    return stain_sheet(
        dataset,
        path,
        _normalising(dataset, recipe) if kind in NORMALISATIONS else _varying(dataset, recipe),
        columns=1 if kind in NORMALISATIONS else _COLUMNS,
        title=f"{kind} ({said})" if said else kind,
    )


def _normalising(dataset: Dataset, recipe: Recipe) -> Change:
    from transfer_kit.data.stain import StainNormaliser, find_reference, stains_of

    settings: StainSettings = recipe.stain
    reference = find_reference(
        settings.reference, stains=stains_of(dataset.card.stain), luminosity=settings.luminosity
    )
    if settings.normalise == "none":
        raise UserError("stain.normalise is none; name macenko, vahadane or reinhard.")
    normaliser = StainNormaliser(settings.normalise, reference)
    return lambda image, rng, name: normaliser(image, name)


def _varying(dataset: Dataset, recipe: Recipe) -> Change:
    from transfer_kit.data.augment import Augmentation, change_colours
    from transfer_kit.data.stain import estimate_stains, stain_variation, stains_of
    from transfer_kit.stores.datasets import find_dataset

    stains = stains_of(dataset.card.stain)
    if recipe.stain.augment == "none":
        hed = Augmentation(
            mirror=False,
            hed_jitter=recipe.augment.hed_jitter,
            hed_offset=recipe.augment.hed_offset,
            colour_probability=1.0,
        )
        return lambda image, rng, name: change_colours(image, hed, mpp=1.0, rng=rng)
    sources = (find_dataset(name).split("train") for name in recipe.stain.sources)
    images = (sample.image() for part in (dataset, *sources) for sample in part.samples)
    change = stain_variation(recipe.stain, stains=stains, images=images)
    if change is None or recipe.stain.augment != "jitter":
        return lambda image, rng, name: image if change is None else change(image, rng)
    method = recipe.stain.estimate
    return lambda image, rng, name: change(
        image, rng, estimate_stains(image, method, stains=stains, name=name)
    )
