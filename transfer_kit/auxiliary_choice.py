"""Which images a recipe learns from beside the target's: other sources', and the base's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from transfer_kit.card import DetectorCard
from transfer_kit.codecs import Codec
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.organ_figures import OrganFigures, measure_organ
from transfer_kit.data.relabelled import relabelled
from transfer_kit.data.sample import Sample
from transfer_kit.data.splits import Amount, permuted
from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.gamma_forms import write_gamma
from transfer_kit.recipe import Recipe
from transfer_kit.settings import AuxiliarySettings
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.pair_leaks import refuse_leaks
from transfer_kit.stores.pair_members import PairMembers, learned_samples
from transfer_kit.transfer.mixing import AuxiliarySource, nearness

MOST_MEASURED = 20
"""Images of a source that its nearness to the target is measured on, evenly spaced."""


def relabelled_target(members: PairMembers) -> Dataset:
    """The target of a pair by the names of classes that the pair gives it."""
    return relabelled(members.target, members.pair.classes.get(members.pair.target, {}))


def choose_auxiliary(
    recipe: Recipe,
    members: Sequence[PairMembers],
    base: DetectorCard | None,
    targets: Sequence[Dataset],
    train: Sequence[Sample],
) -> tuple[AuxiliarySource, ...]:
    """What the recipe mixes in, with the weights that its sampling gives each source.

    Args:
        recipe: Of the training.
        members: A pair of each target; empty where nothing but base and targets is named.
        base: Whose data are replayed, if any.
        targets: The targets, whose images are not replayed.
        train: The target's training images, that nearness is measured from.

    Raises:
        UserError: as the functions below say.
    """
    settings = recipe.auxiliary
    found = choose_sources(members, settings, seed=recipe.seed) if members else ()
    if settings.replay is not None and base is not None:
        found = (*found, choose_replay(base, targets, settings.replay, seed=recipe.seed))
    if found and settings.sampling == "similarity":
        return weighted_by_nearness(found, targets, train)
    return found


def choose_sources(
    members: Sequence[PairMembers], settings: AuxiliarySettings, *, seed: int
) -> tuple[AuxiliarySource, ...]:
    """The seeded share of the pooled training images of the auxiliary sources.

    Of one seed, a smaller share lies inside a larger one. A source of which nothing was drawn is
    left out.

    Args:
        members: A pair of each target, all with the same sources.
        settings: Of the recipe.
        seed: Of the images that are drawn.

    Raises:
        UserError: a source has no training case, or the base, a source or a target's own training
            knows a patient of a target's test; with the identifiers.
    """
    training = tuple(source.split("train") for source in members[0].auxiliary)
    for each in members:
        refuse_leaks(replace(each, auxiliary=training))
    pair = members[0].pair
    datasets = [
        relabelled(source, pair.classes.get(name, {}))
        for name, source in zip(pair.auxiliary, training, strict=True)
    ]
    if not datasets:
        return ()
    wanted = _drawn(datasets, settings.share, seed)
    sources = [
        AuxiliarySource(name, tuple(s for s in dataset if s in wanted), (dataset,))
        for name, dataset in zip(pair.auxiliary, datasets, strict=True)
    ]
    return tuple(source for source in sources if source.samples)


def choose_replay(
    base: DetectorCard, targets: Sequence[Dataset], share: str, *, seed: int
) -> AuxiliarySource:
    """The seeded share of the images that a base learned from, but for those of the targets.

    Images of the targets are left out, since `labels` says how many of them train. What only
    judged the base is not learned from here, either.

    Raises:
        UserError: the images are not on this machine, or all of them are the target's.
    """
    parts = [part for part in base.data if part.split != "validation"]
    by_dataset, absent = learned_samples(base.model_copy(update={"data": parts}))
    if absent or not parts:
        which = ", ".join(absent) or "which its card does not name"
        raise UserError(
            f"auxiliary.replay: the images that the base {base.name} learned from ({which}) are "
            "not on this machine; set TRANSFER_KIT_DATA to the folder that holds them, or leave "
            "replay out."
        )
    of_target = {sample.image_path.resolve() for target in targets for sample in target}
    datasets = []
    for name, samples in by_dataset.items():
        _refuse_missing_cases(base, name, samples)
        kept = tuple(s for s in dict.fromkeys(samples) if s.image_path.resolve() not in of_target)
        if kept:
            datasets.append(replace(find_dataset(name), samples=kept, part=f"of {base.name}"))
    if not datasets:
        raise UserError(
            f"auxiliary.replay: the base {base.name} learned from images of the target alone, so "
            "that there is nothing to replay; leave replay out."
        )
    wanted = _drawn(datasets, share, seed)
    chosen = tuple(sample for dataset in datasets for sample in dataset if sample in wanted)
    return AuxiliarySource(f"replay of {base.name}", chosen, tuple(datasets), is_replay=True)


def weighted_by_nearness(
    sources: Sequence[AuxiliarySource], targets: Sequence[Dataset], train: Sequence[Sample]
) -> tuple[AuxiliarySource, ...]:
    """The sources with weights by `nearness`, measured on training images alone.

    Raises:
        UserError: it cannot be told.
    """
    card = targets[0].card
    target = _measured(card.name, card.organ, card.stain, train)
    measured = [
        _measured(
            source.name,
            source.datasets[0].card.organ,
            source.datasets[0].card.stain,
            source.samples,
        )
        for source in sources
    ]
    weights = nearness(target, measured)
    return tuple(replace(s, weight=w) for s, w in zip(sources, weights, strict=True))


def refuse_unknown_classes(sources: Sequence[AuxiliarySource], codec: Codec) -> None:
    """Refuse auxiliary nuclei of classes that the detector does not tell.

    Raises:
        UserError: with the field that names them.
    """
    if codec.classes == ("",) or getattr(codec, "ignore_other_classes", False):
        return
    for source in sources:
        there = {name for sample in source.samples for name in sample.annotation().classes}
        for name in sorted(there - {*codec.classes, ""}):
            raise UserError(
                f"auxiliary.classes: {source.name} has nuclei of class {name!r}, which is none of "
                f"the detector's; say what it is called here, or '' for no class. "
                f"{nearest_hint(name, codec.classes)}"
            )


def mixing_notes(
    recipe: Recipe, sources: Sequence[AuxiliarySource], validation: Sequence[Sample]
) -> list[str]:
    """What a person should know of a mixture before it is trained on."""
    settings, steps = recipe.auxiliary, recipe.train.steps
    if not sources:
        weight = write_gamma(settings.gamma)
        said = f"auxiliary.gamma: {weight} has no effect, since there are no auxiliary data"
        return [] if weight == "1" else [said]
    notes = []
    drawn = {source.name for source in sources}
    if left_out := [name for name in settings.sources if name not in drawn]:
        notes.append(
            f"auxiliary.share: {settings.share} of all images holds none of {', '.join(left_out)}"
        )
    if isinstance(settings.gamma, dict):
        notes += [
            f"auxiliary.gamma: the training ends at step {steps}, before step {step} of the "
            "schedule"
            for step in settings.gamma
            if step >= steps
        ]
    judged = {sample.image_path.resolve() for sample in validation}
    learned = {s.image_path.resolve() for source in sources for s in source.samples}
    if both := sorted(path.name for path in judged & learned):
        notes.append(
            f"validation: {', '.join(both[:5])}{' …' if len(both) > 5 else ''} train as auxiliary "
            "data, too, so that the learning curve flatters"
        )
    return notes


def _drawn(datasets: Sequence[Dataset], share: str, seed: int) -> set[Sample]:
    """The share of all images of the datasets together."""
    names = {f"{dataset.name}/{sample.id}": sample for dataset in datasets for sample in dataset}
    order = permuted(names, seed)
    return {names[name] for name in order[: Amount.parse(share).of(len(order))]}


def _refuse_missing_cases(base: DetectorCard, dataset: str, samples: Sequence[Sample]) -> None:
    known: dict[str, set[str]] = defaultdict(set)
    for part in base.data:
        if part.split != "validation":
            known[part.dataset].update(part.cases)
    missing = sorted(known[dataset] - {sample.case for sample in samples})
    if missing:
        raise UserError(
            f"auxiliary.replay: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''} of "
            f"{dataset}, which the base {base.name} learned from, are not on this machine; bring "
            "them back, or leave replay out."
        )


def _measured(name: str, organ: str, stain: str, samples: Sequence[Sample]) -> OrganFigures:
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), MOST_MEASURED)).astype(int)
    return measure_organ(name, organ, stain, [samples[index] for index in np.unique(chosen)])
