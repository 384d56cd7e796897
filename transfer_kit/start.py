"""The detector that a training starts from: the base, or an untrained one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_kit.card import Channels, DetectorCard
from transfer_kit.codecs import build_codec
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.patches import channel_statistics
from transfer_kit.data.resampling import SAME_SCALE
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.networks import load_pretrained
from transfer_kit.recipe import Recipe
from transfer_kit.settings import CodecSettings, NetworkSettings
from transfer_kit.stain_choice import choose_stain, settled_stain


def start_detector(
    recipe: Recipe, base: Detector | None, targets: Sequence[Dataset], train: Sequence[Sample]
) -> Detector:
    """A copy of the base, or an untrained detector as the recipe describes it.

    A codec that the recipe names itself takes the place of the base's.

    Raises:
        UserError: the recipe names a network or a scale that are not the base's, or a codec that
            needs another number of maps.
    """
    if base is None:
        return _untrained(recipe, targets, train)
    _refuse_other_network(recipe, base.card)
    _refuse_other_scale(recipe, base.card)
    _refuse_other_classes(recipe, base.card)
    keeps_codec = "codec" not in recipe.model_fields_set or recipe.codec == base.card.codec
    start = base.copy() if keeps_codec else with_codec(base, recipe.codec)
    choose_stain(start.card, recipe, targets, base.card)
    return start


def settled(recipe: Recipe, start: DetectorCard) -> Recipe:
    """The recipe with what the base decides written into it, so that it says all that is done."""
    fields: dict[str, Any] = {
        "network": start.network.model_dump(),
        "codec": start.codec.model_dump(),
        "mpp": start.mpp,
        "classes": start.classes,
        "target": " + ".join(_lasting(name.strip()) for name in recipe.target.split(" + ")),
    }
    return recipe.replaced(**fields, **settled_stain(recipe, start))


def _lasting(target: str) -> str:
    """A folder by its whole path, so that the card can be verified from another one."""
    path = Path(target).expanduser()
    return str(path.resolve()) if path.exists() and is_path(target) else target


def is_path(target: str) -> bool:
    """Whether a target is written as a path, not as the name of an organ or dataset."""
    return os.sep in target or target.endswith((".yaml", ".yml")) or target in (".", "..")


def with_codec(detector: Detector, settings: CodecSettings) -> Detector:
    """A copy of a detector whose network learns another codec's maps.

    Raises:
        UserError: the codec needs another number of maps than the network gives.
    """
    codec = build_codec(settings.name, classes=detector.card.classes, **settings.options)
    if codec.channels != detector.codec.channels:
        raise UserError(
            f"codec: {settings.name} needs {codec.channels} maps, but the base "
            f"{detector.card.name} gives {detector.codec.channels} ({detector.card.codec.name}); "
            "leave codec out of the recipe, or train with --base none."
        )
    copy = detector.copy()
    copy.card.codec = settings
    copy.card.threshold = codec.threshold
    copy.card.threshold_chosen_on = "not chosen: the codec's default"
    return Detector(copy.network, codec, copy.card)


def _untrained(recipe: Recipe, targets: Sequence[Dataset], train: Sequence[Sample]) -> Detector:
    first = targets[0].card
    card = DetectorCard(
        name=recipe.name,
        organ=first.organ,
        stain=first.stain,
        mpp=recipe.mpp or train[0].mpp,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        network=recipe.network,
        codec=recipe.codec,
        classes=recipe.classes,
        threshold=0.5,
        radius_um=recipe.evaluation.radius_um,
    )
    choose_stain(card, recipe, targets, None)
    normaliser = card.normaliser
    images = (sample.image() for sample in train)
    shown = images if normaliser is None else (normaliser(image) for image in images)
    mean, std = channel_statistics(shown)
    card.mean, card.std = _three(mean), _three(std)
    detector = Detector.fresh(card, seed=recipe.seed)
    if recipe.network.pretrained is not None:
        load_pretrained(detector.network, recipe.network.pretrained)
    return detector


def _three(values: NDArray[np.float64]) -> Channels:
    first, second, third = values.tolist()
    return first, second, third


def _refuse_other_network(recipe: Recipe, base: DetectorCard) -> None:
    """Only what the recipe says itself is compared; what it leaves open is the base's."""
    if "network" not in recipe.model_fields_set:
        return
    asked, has = recipe.network, base.network
    said = asked.model_fields_set
    if asked.pretrained not in (None, has.pretrained):
        raise UserError(
            f"network: the recipe asks for the pretrained weights {asked.pretrained}, but the base "
            f"{base.name} has its own; leave network.pretrained out, or train with --base none."
        )
    other_name = "name" in said and asked.name != has.name
    unlike = object()
    other_options = "options" in said and any(
        has.options.get(option, unlike) != value for option, value in asked.options.items()
    )
    if other_name or other_options:
        raise UserError(
            f"network: the recipe asks for {_in_words(asked)}, but the base {base.name} is "
            f"{_in_words(has)}; leave network out of the recipe, or train with --base none."
        )


def _in_words(network: NetworkSettings) -> str:
    options = ", ".join(f"{name} {value}" for name, value in network.options.items())
    return f"{network.name} ({options})" if options else network.name


def _refuse_other_scale(recipe: Recipe, base: DetectorCard) -> None:
    if recipe.mpp is not None and abs(recipe.mpp / base.mpp - 1) > SAME_SCALE:
        raise UserError(
            f"mpp: the recipe asks for {recipe.mpp:g} µm per pixel, but the base {base.name} works "
            f"at {base.mpp:g}; leave mpp out of the recipe (images are resampled to the base's), "
            "or train with --base none."
        )


def _refuse_other_classes(recipe: Recipe, base: DetectorCard) -> None:
    if "classes" in recipe.model_fields_set and recipe.classes != base.classes:
        raise UserError(
            f"classes: the recipe asks for {_listed(recipe.classes)}, but the base {base.name} "
            f"tells {_listed(base.classes)}; leave classes out of the recipe, or train with "
            "--base none."
        )


def _listed(classes: tuple[str, ...]) -> str:
    return "all nuclei as one class" if classes == ("",) else ", ".join(classes)
