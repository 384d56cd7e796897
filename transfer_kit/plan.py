"""What a recipe will do, worked out before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
from transfer_kit.recipe import Recipe
from transfer_kit.start import is_path, settled, start_detector
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights
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
            base, or the target's test cases are among those that the base learned from.
    """
    names = [name.strip() for name in recipe.target.split(" + ")]
    targets = tuple(find_dataset(name) for name in names)
    for name, target in zip(names, targets, strict=True):
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
    _note_late_steps(recipe, notes)
    start = start_detector(recipe, base, targets, train)
    blocks = tuple(summarise_training(start.network, recipe.freeze, recipe.train))
    held_out = () if base is None else find_held_out(base.card, notes)
    refuse_unreadable([*train, *validation, *test, *(s for part in held_out for s in part.samples)])
    refuse_nameless(train, start.card.classes)
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
