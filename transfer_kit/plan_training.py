"""What a plan trains, and what the result's card then says, for runs and studies alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from transfer_kit.card import DetectorCard, TrainingData
from transfer_kit.data.dataset import Dataset
from transfer_kit.evaluation import DetectionScores
from transfer_kit.plan import Plan
from transfer_kit.training.judge import Curve
from transfer_kit.training.record import complete_card, describe_auxiliary, describe_data
from transfer_kit.training.train import Trained, train


def train_plan(
    plan: Plan,
    checkpoints: Path,
    *,
    device: str = "auto",
    record: Callable[[Curve, int], None] = lambda point, step: None,
    title: str = "training",
) -> Trained:
    """Train a plan's start on its data; goes on from `checkpoints` where there are some.

    Raises:
        UserError: the loss became infinite.
    """
    return train(
        plan.start,
        plan.train,
        plan.validation,
        plan.recipe,
        folder=checkpoints,
        auxiliary=plan.auxiliary,
        device=device,
        record=record,
        title=title,
    )


def learned_by(plan: Plan) -> list[TrainingData]:
    """The parts of datasets that a plan's training learns from or is judged on."""
    return [
        *describe_data(plan.targets, plan.train, "train"),
        *describe_data(plan.targets, plan.validation, "validation"),
        *describe_auxiliary(plan.auxiliary),
    ]


def fill_in_card(
    trained: Trained,
    plan: Plan,
    name: str,
    *,
    of: Dataset,
    learned: Sequence[TrainingData],
    base: DetectorCard | None,
    scores: DetectionScores | None,
) -> None:
    """So that what was trained may be a base, and is known for what it learned from.

    Args:
        trained: Whose card.
        plan: What was carried out.
        name: Of the detector.
        of: Whose organ and stain it is for.
        learned: See `learned_by`.
        base: The card of what it started from; None from scratch.
        scores: On the plan's test images.
    """
    card = trained.detector.card
    card.name, card.organ, card.stain = name, of.card.organ, of.card.stain
    card.steps, card.seconds = trained.steps, round(trained.seconds, 1)
    complete_card(
        card,
        plan.recipe,
        learned=learned,
        held_out=describe_data(plan.targets, plan.test, "test"),
        base=base,
        scores=scores,
    )
