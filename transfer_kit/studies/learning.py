"""Carrying out a recipe's training or adaptation, without what a run adds to it."""

from __future__ import annotations

from pathlib import Path

from transfer_kit.adaptation import AdaptationPlan, plan_adaptation
from transfer_kit.adaptation_run import UNLABELLED, adapt_at_once
from transfer_kit.evaluation import DetectionScores
from transfer_kit.plan import Plan, make_plan
from transfer_kit.plan_training import fill_in_card, learned_by, train_plan
from transfer_kit.recipe import Recipe
from transfer_kit.training.record import describe_data
from transfer_kit.training.self_training import self_train
from transfer_kit.training.train import Trained


def learn(recipe: Recipe, checkpoints: Path, *, title: str) -> tuple[Plan, Trained]:
    """Train or adapt as a recipe says; goes on from `checkpoints` where there are some.

    Raises:
        UserError: the plan is refused, or the training fails.
    """
    if recipe.adaptation.name == "none":
        plan = make_plan(recipe)
        return plan, train_plan(plan, checkpoints, title=title)
    adapting = plan_adaptation(recipe)
    if recipe.adaptation.name != "self_training":
        return adapting, adapt_at_once(adapting.start, adapting)
    trained = self_train(
        adapting.start, adapting.images, adapting.recipe, folder=checkpoints, title=title
    )
    return adapting, trained


def describe(plan: Plan, trained: Trained, scores: DetectionScores, name: str) -> None:
    """Fill in the card of what was trained or adapted; see `fill_in_card`."""
    if isinstance(plan, AdaptationPlan):
        learned = describe_data(plan.unlabelled, plan.images, UNLABELLED)
    else:
        learned = learned_by(plan)
    fill_in_card(
        trained,
        plan,
        name,
        of=plan.targets[0],
        learned=learned,
        base=plan.base.card if plan.base else None,
        scores=scores,
    )
