"""What a recipe will do, worked out before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from transfer_kit.auxiliary_choice import (
    choose_auxiliary,
    mixing_notes,
    refuse_unknown_classes,
    relabelled_target,
)
from transfer_kit.card import DetectorCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.patients import patient_of
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.freeze_forms import schedule_of, write_freeze
from transfer_kit.labels import (
    labelled_samples,
    refuse_empty_splits,
    refuse_nameless,
    refuse_unreadable,
)
from transfer_kit.pair import Pair
from transfer_kit.pair_choice import pair_notes, pair_of, settled_tables, targets_of, with_pair
from transfer_kit.recipe import Recipe
from transfer_kit.start import is_path, settled, start_detector
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights
from transfer_kit.stores.pair_leaks import patients_of
from transfer_kit.stores.pair_members import find_members
from transfer_kit.transfer.mixing import AuxiliarySource
from transfer_kit.transfer.partial import refuse_idle, refuse_without_judges
from transfer_kit.transfer.recurring_crops import describe_cache
from transfer_kit.transfer.summary import BlockSummary, summarise_training


@dataclass(frozen=True)
class HeldOut:
    """Cases that a base never learned from, to see what fine-tuning makes it forget."""

    name: str
    samples: tuple[Sample, ...]
    stands_in: bool = False


@dataclass(frozen=True)
class Plan:
    """A recipe with all its names found: what is trained, on what, and judged on what.

    Attributes:
        trainable: Numbers that learn at some step.
        auxiliary: What is learned from beside `train`.
        pair: Base, target and auxiliary sources; None of several targets.
    """

    recipe: Recipe
    base: Detector | None
    start: Detector
    targets: tuple[Dataset, ...]
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]
    held_out: tuple[HeldOut, ...]
    blocks: tuple[BlockSummary, ...]
    trainable: int
    notes: tuple[str, ...] = field(default=())
    auxiliary: tuple[AuxiliarySource, ...] = ()
    pair: Pair | None = None

    @property
    def learned_datasets(self) -> tuple[Dataset, ...]:
        """What all training images are parts of, the targets first."""
        return (*self.targets, *_datasets(self.auxiliary))

    @property
    def learned_samples(self) -> tuple[Sample, ...]:
        """All training images, the target's first."""
        return (*self.train, *_samples(self.auxiliary))

    @property
    def target_name(self) -> str:
        """The target as experiments and folders are called: a folder by its name, not its path."""
        names = self.recipe.target.split(" + ")
        return " + ".join(
            target.name if is_path(name.strip()) else name.strip()
            for name, target in zip(names, self.targets, strict=True)
        )

    @property
    def n_train_nuclei(self) -> int:
        """Annotated nuclei in the training images."""
        return sum(len(sample.annotation()) for sample in self.train)


def make_plan(recipe: Recipe) -> Plan:
    """Find the recipe's base and target and split its labels; nothing is written.

    Every image and annotation is read once. The plan's recipe is the one given with what the base
    decides (network, codec, scale) written into it.

    Raises:
        UserError: a name is unknown, a split is empty, a file is damaged, blocks are frozen that
            do not exist or all that there are, an adapter fits nowhere, the recipe contradicts the
            base, the target's test cases are among those that the base learned from, or auxiliary
            data are the target's, unknown, not here or know patients of its test.
    """
    _refuse_adaptation(recipe)
    recipe = with_pair(recipe)
    pairs = tuple(pair_of(recipe, name) for name in targets_of(recipe))
    members = tuple(map(find_members, pairs)) if _needs_members(recipe) else ()
    targets = tuple(map(relabelled_target, members)) or tuple(
        find_dataset(name) for name in targets_of(recipe)
    )
    for name, target in zip(targets_of(recipe), targets, strict=True):
        refuse_empty_splits(name, target)
    base = None if recipe.base == "none" else Detector.load(find_weights(recipe.base))
    train, validation = labelled_samples(
        targets, recipe.labels, seed=recipe.seed, validation_share=recipe.validation_share
    )
    test = tuple(sample for target in targets for sample in target.split("test"))
    notes: list[str] = []
    if not validation:
        notes.append(
            "no validation image: the last weights are kept, the threshold is chosen on "
            "the training images"
        )
    if base is not None:
        refuse_leak(base.card, targets)
    if not recipe.starts_from_weights:
        recipe = _without_base(recipe, notes)
    if base is None:
        recipe = _without_replay(recipe, notes)
    _note_late_steps(recipe, notes)
    auxiliary = choose_auxiliary(recipe, members, base.card if base else None, targets, train)
    notes += mixing_notes(recipe, auxiliary, validation)
    if members:
        notes += pair_notes(recipe, pairs[0])
        recipe = recipe.replaced(**settled_tables(pairs))
    start = start_detector(
        recipe, base, (*targets, *_datasets(auxiliary)), (*train, *_samples(auxiliary))
    )
    blocks = tuple(summarise_training(start.network, recipe.freeze, recipe.train))
    if recipe.train.cache_features:
        notes.append(describe_cache(start.network, recipe))
    held_out = () if base is None else find_held_out(base.card, notes)
    held_out = _still_held_out(held_out, auxiliary, notes)
    refuse_unreadable([*train, *validation, *test, *(s for part in held_out for s in part.samples)])
    refuse_unreadable(_samples(auxiliary))
    refuse_nameless(train, start.card.classes)
    refuse_idle([*train, *_samples(auxiliary)], start.codec)
    refuse_without_judges(train, validation, test)
    refuse_unknown_classes(auxiliary, start.codec)
    return Plan(
        recipe=settled(recipe, start.card),
        base=base,
        start=start,
        targets=targets,
        train=train,
        validation=validation,
        test=test,
        held_out=held_out,
        blocks=blocks,
        trainable=sum(block.learning for block in blocks),
        notes=tuple(notes),
        auxiliary=auxiliary,
        pair=pairs[0] if len(pairs) == 1 else None,
    )


def _needs_members(recipe: Recipe) -> bool:
    """Whether more is named than base and targets."""
    auxiliary = recipe.auxiliary
    tables = (auxiliary.classes, auxiliary.mpp, auxiliary.held_out)
    return bool(recipe.pair or auxiliary.sources or any(tables))


def _still_held_out(
    held_out: Sequence[HeldOut], auxiliary: Sequence[AuxiliarySource], notes: list[str]
) -> tuple[HeldOut, ...]:
    """The base's held-out cases without patients that auxiliary data hold; says so in `notes`."""
    learned = {
        patient
        for source in auxiliary
        for dataset in source.datasets
        for patient in patients_of(dataset.name, {*dataset} & {*source.samples})
    }
    kept = []
    for part in held_out:
        by_patient = patients_of(part.name, part.samples)
        cases = {case for patient in by_patient.keys() & learned for case in by_patient[patient]}
        if cases:
            notes.append(
                f"{', '.join(sorted(cases))} of {part.name}, held out from the base, are learned "
                "from as auxiliary data: forgetting is not measured on them"
            )
        samples = tuple(sample for sample in part.samples if sample.case not in cases)
        kept.append(replace(part, samples=samples))
    return tuple(part for part in kept if part.samples)


def _datasets(auxiliary: Sequence[AuxiliarySource]) -> list[Dataset]:
    return [dataset for source in auxiliary for dataset in source.datasets]


def _samples(auxiliary: Sequence[AuxiliarySource]) -> list[Sample]:
    return [sample for source in auxiliary for sample in source.samples]


def _without_replay(recipe: Recipe, notes: list[str]) -> Recipe:
    if recipe.auxiliary.replay is None:
        return recipe
    notes.append(
        f"auxiliary.replay: {recipe.auxiliary.replay} is left out, since without a base nothing "
        "is forgotten"
    )
    return recipe.replaced(**{"auxiliary.replay": None})


def _refuse_adaptation(recipe: Recipe) -> None:
    if recipe.adaptation.name != "none":
        raise UserError(
            f"The recipe {recipe.name} adapts without labels (adaptation.name: "
            f"{recipe.adaptation.name}); run it with 'transfer-kit adapt'."
        )


def _without_base(recipe: Recipe, notes: list[str]) -> Recipe:
    """The recipe without what only weights that are there can give; says what in `notes`."""
    train = recipe.train
    if recipe.freeze:
        freeze = write_freeze(recipe.freeze)
        notes.append(f"freeze: {freeze} is left out, since without a base all must learn")
        recipe = recipe.replaced(freeze=0)
    if train.batch_norm != "train":
        notes.append(
            f"train.batch_norm: {train.batch_norm} is left out, since without a base nothing is "
            "stored"
        )
        recipe = recipe.replaced(**{"train.batch_norm": "train"})
    if train.l2_sp:
        notes.append(
            f"train.l2_sp: {train.l2_sp:g} is left out, since without a base there is nothing to "
            "pull towards"
        )
        recipe = recipe.replaced(**{"train.l2_sp": 0.0})
    if train.adapter.rank:
        notes.append("train.adapter is left out, since without a base all must learn")
        recipe = recipe.replaced(**{"train.adapter.rank": 0})
    if train.cache_features:
        notes.append(
            "train.cache_features is left out, since without a base all must learn and no feature "
            "stays the same"
        )
        recipe = recipe.replaced(**{"train.cache_features": False})
    return recipe


def _note_late_steps(recipe: Recipe, notes: list[str]) -> None:
    """Say what of a schedule is never reached."""
    steps = recipe.train.steps
    notes.extend(
        f"freeze: the training ends at step {steps}, before step {step} of the schedule"
        for step in schedule_of(recipe.freeze)
        if step >= steps
    )


def cases_learned(card: DetectorCard, dataset: Dataset) -> list[str]:
    """The cases of a dataset (or part of one) that a detector learned from, sorted."""
    learned = {patient_of(part.dataset, case) for part in card.data for case in part.cases}
    return [case for case in dataset.cases if patient_of(dataset.card.name, case) in learned]


def refuse_leak(card: DetectorCard, targets: Sequence[Dataset]) -> None:
    """Refuse a target whose test cases the base learned from.

    Raises:
        UserError: with the cases.
    """
    for target in targets:
        shared = cases_learned(card, target.split("test"))
        if shared:
            raise UserError(
                f"The base {card.name} learned from cases that test {target.card.name} "
                f"({', '.join(shared[:5])}{' …' if len(shared) > 5 else ''}); choose another base "
                "or move them to the training split."
            )


def find_held_out(card: DetectorCard, notes: list[str]) -> tuple[HeldOut, ...]:
    """The base's held-out cases, or its embedded organ in their stead; says which in `notes`."""
    found: list[HeldOut] = []
    for part in card.held_out:
        try:
            dataset = find_dataset(part.dataset)
        except UserError:
            continue
        samples = tuple(s for s in dataset if s.case in part.cases)
        if samples:
            found.append(HeldOut(part.dataset, samples))
    if found or not card.organ:
        return tuple(found)
    try:
        stand_in = find_dataset(card.organ)
    except UserError:
        notes.append(
            f"the base's held-out cases are not on this machine: forgetting of {card.organ}"
            " cannot be measured (set TRANSFER_KIT_DATA)"
        )
        return ()
    notes.append(
        f"the base's held-out cases are not on this machine: the embedded {card.organ} "
        "stands in for them (set TRANSFER_KIT_DATA to measure the real ones)"
    )
    return (HeldOut(stand_in.card.name, tuple(stand_in.split("test")), stands_in=True),)
