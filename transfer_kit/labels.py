"""Which of a target's labelled images a recipe trains on, and which judge."""

from __future__ import annotations

from collections.abc import Sequence

from transfer_kit.data.card import SPLITS
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.images import read_image
from transfer_kit.data.sample import Sample
from transfer_kit.data.splits import Amount
from transfer_kit.errors import UserError
from transfer_kit.wording import counted

FEWEST_TO_SPARE = 8
"""Labelled images from which on some judge rather than train: one or two judge poorly."""


def labelled_samples(
    targets: Sequence[Dataset],
    labels: str,
    *,
    seed: int,
    validation_share: float | None = None,
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """The training and validation samples that `labels` allows, in the proportion of the splits.

    A percentage is taken of each split. A number of images (or cases) is the number that a lab
    labels in all: validation gets its share of them, at least one where two are to be had. Fewer
    than eight images in all train, those of validation too, unless `validation_share` is given.
    Labelled images of one seed are nested. Of several targets, each gives that many.

    Raises:
        UserError: the amount cannot be read, or is more than a target has.
    """
    train: list[Sample] = []
    validation: list[Sample] = []
    for target in targets:
        learn, judge = target.split("train"), target.split("validation")
        learn_amount, judge_amount = _shares(labels, learn, judge, validation_share)
        train += learn.subset(learn_amount, seed) if learn_amount else []
        validation += judge.subset(judge_amount, seed) if judge_amount else []
    few = validation_share is None and len(train) + len(validation) < FEWEST_TO_SPARE
    if few or validation_share == 0:
        return (*train, *validation), ()
    return tuple(train), tuple(validation)


def _shares(
    labels: str, learn: Dataset, judge: Dataset, validation_share: float | None
) -> tuple[str, str]:
    """How much of the training and of the validation split; nothing is written as ''."""
    amount = Amount.parse(labels)
    if amount.percent:
        return labels, labels
    n_learn, n_judge = (
        len(part.cases) if amount.unit == "case" else len(part) for part in (learn, judge)
    )
    wanted = int(amount.number)
    if wanted > n_learn + n_judge:
        raise UserError(
            f"labels: {labels!r} is more than {learn.card.name} has "
            f"({n_learn} for training, {n_judge} for validation); ask for fewer or for 100%."
        )
    natural = n_judge / (n_learn + n_judge)
    part = natural if validation_share is None else validation_share
    at_least = 1 if part > 0 else 0
    # Training keeps one at least, and takes no more than there are.
    share = min(max(at_least, round(wanted * part)), n_judge, wanted - 1)
    share = max(share, wanted - n_learn)
    return f"{wanted - share} {amount.unit}", f"{share} {amount.unit}" if share else ""


def refuse_empty_splits(name: str, target: Dataset) -> None:
    """Refuse a target that has no case to train on, to judge by or to test on.

    Args:
        name: As the user named it, so that the command in the message works.
        target: The whole dataset.

    Raises:
        UserError: with the command that mends it.
    """
    there = {target.split_of(sample) for sample in target}
    missing = [split for split in SPLITS if split not in there]
    if not missing:
        return
    count = len(target.cases)
    mend = (
        f"choose one with 'transfer-kit data split {name} --{missing[0]}-case CASE'"
        if count >= len(SPLITS)
        else "label images of at least 3 cases (patients), so that there is one for each split"
    )
    raise UserError(
        f"{name} has no {' and no '.join(missing)} case ({counted(count, 'case')} in all); {mend}."
    )


def refuse_unreadable(samples: Sequence[Sample]) -> None:
    """Read every image and annotation once: a bad file is told before anything is trained.

    Raises:
        UserError: an image is missing or damaged, or has no annotation that fits it.
    """
    for path in dict.fromkeys(sample.image_path for sample in samples):
        read_image(path)
    for sample in samples:
        sample.annotation()


def refuse_nameless(samples: Sequence[Sample], classes: Sequence[str]) -> None:
    """Refuse images none of whose nuclei has a name, where classes are to be learned from them.

    Single nuclei without a name are of unknown class, and welcome.

    Raises:
        UserError: with the mend.
    """
    if "" in classes or not samples:
        return
    if not any(name for sample in samples for name in sample.annotation().classes):
        raise UserError(
            f"The classes {', '.join(classes)} are to be learned, but no nucleus of the "
            f"{counted(len(samples), 'training image')} has a class; name them in the annotations, "
            "or leave 'classes' out to find all nuclei alike."
        )
