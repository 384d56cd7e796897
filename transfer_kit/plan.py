"""What a recipe will do, worked out before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from transfer_kit.card import DetectorCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.patches import channel_statistics
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.recipe import Recipe
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights
from transfer_kit.transfer.freezing import (
    BlockSummary,
    freeze_first_blocks,
    summarise_blocks,
    trainable_parameters,
)


@dataclass(frozen=True)
class HeldOut:
    """Cases that a base never learned from, to see what fine-tuning makes it forget."""

    name: str
    samples: tuple[Sample, ...]
    stands_in: bool = False


@dataclass(frozen=True)
class Plan:
    """A recipe with all its names found: what is trained, on what, and judged on what."""

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
    def n_train_nuclei(self) -> int:
        """Annotated nuclei in the training images."""
        return sum(len(sample.annotation()) for sample in self.train)


def make_plan(recipe: Recipe) -> Plan:
    """Find the recipe's base and target and split its labels; nothing is written.

    Raises:
        UserError: a name is unknown, a split is empty, too many blocks are frozen, or the
            target's test cases are among those that the base learned from.
    """
    targets = tuple(find_dataset(name.strip()) for name in recipe.target.split(" + "))
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
    start = start_detector(recipe, base, targets, train)
    freeze_first_blocks(start.network, recipe.freeze if base is not None else 0)
    held_out = () if base is None else find_held_out(base.card, notes)
    return Plan(
        recipe=recipe,
        base=base,
        start=start,
        targets=targets,
        train=train,
        validation=validation,
        test=test,
        held_out=held_out,
        blocks=tuple(summarise_blocks(start.network)),
        trainable=trainable_parameters(start.network),
        notes=tuple(notes),
    )


def labelled_samples(
    targets: Sequence[Dataset],
    labels: str,
    *,
    seed: int,
    validation_share: float | None = None,
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """The training and validation samples that `labels` allows, in the proportion of the splits.

    A percentage is taken of each split. A number of images (or cases) is the number that a lab
    labels in all: validation gets its share of them, at least one where two are to be had.
    Subsets of one seed are nested. Of several targets, each gives that many.
    """
    train: list[Sample] = []
    validation: list[Sample] = []
    for target in targets:
        learn, judge = target.split("train"), target.split("validation")
        learn_amount, judge_amount = _shares(labels, learn, judge, validation_share)
        train += learn.subset(learn_amount, seed)
        validation += judge.subset(judge_amount, seed) if judge_amount else []
    return tuple(train), tuple(validation)


def _shares(
    labels: str, learn: Dataset, judge: Dataset, validation_share: float | None
) -> tuple[str, str]:
    """How much of the training and of the validation split; nothing is written as ''."""
    number, _, unit = labels.strip().partition(" ")
    if not number.isdigit():
        return labels, "" if validation_share == 0 else labels
    of_cases = unit.startswith("case")
    n_learn = len({s.case for s in learn}) if of_cases else len(learn)
    n_judge = len({s.case for s in judge}) if of_cases else len(judge)
    wanted = int(number)
    if wanted > n_learn + n_judge:
        raise UserError(
            f"labels: {labels!r} is more than {learn.card.name} has "
            f"({n_learn} for training, {n_judge} for validation); ask for fewer or for 100%."
        )
    natural = n_judge / (n_learn + n_judge)
    part = natural if validation_share is None else validation_share
    at_least = 1 if part > 0 and wanted > 1 else 0
    share = max(min(max(at_least, round(wanted * part)), n_judge), wanted - n_learn)
    return f"{wanted - share} {unit}".strip(), f"{share} {unit}".strip() if share else ""


def start_detector(
    recipe: Recipe, base: Detector | None, targets: Sequence[Dataset], train: Sequence[Sample]
) -> Detector:
    """A copy of the base, or an untrained detector as the recipe describes it."""
    if base is not None:
        return base.copy()
    mean, std = channel_statistics(sample.image() for sample in train)
    first = targets[0].card
    card = DetectorCard(
        name=recipe.name,
        organ=first.organ,
        stain=first.stain,
        mpp=recipe.mpp or train[0].mpp,
        mean=mean,
        std=std,
        network=recipe.network,
        codec=recipe.codec,
        threshold=0.5,
        radius_um=recipe.evaluation.radius_um,
    )
    return Detector.fresh(card, seed=recipe.seed)


def case_key(dataset: str, case: str) -> str:
    """One name for one patient: TCGA's are the same in every dataset, others only in their own."""
    return case if case.startswith("TCGA-") else f"{dataset}/{case}"


def refuse_leak(card: DetectorCard, targets: Sequence[Dataset]) -> None:
    """Refuse a target whose test cases the base learned from.

    Raises:
        UserError: with the cases.
    """
    learned = {case_key(part.dataset, case) for part in card.data for case in part.cases}
    for target in targets:
        shared = sorted(
            {s.case for s in target.split("test") if case_key(target.card.name, s.case) in learned}
        )
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
    if found:
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
