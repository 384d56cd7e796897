"""The base that a recipe with `base: auto` starts from, chosen before its plan is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from transfer_kit.auxiliary_choice import relabelled_target
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.labels import labelled_samples, refuse_empty_splits, refuse_unreadable
from transfer_kit.pair_choice import pair_of, targets_of, with_pair
from transfer_kit.plan import Plan
from transfer_kit.ranking import Ranking, rank_bases
from transfer_kit.recipe import Recipe
from transfer_kit.start import start_detector
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights
from transfer_kit.stores.pair_members import find_members
from transfer_kit.transfer.summary import summarise_training
from transfer_kit.wording import counted

AUTO = "auto"


@dataclass(frozen=True)
class BaseChoice:
    """A recipe whose base is settled.

    Attributes:
        recipe: As it was given, with the name of the base that was chosen, and why in its
            description.
        why: One sentence; empty where the recipe named its base.
        ranking: What it was chosen by; None likewise.
    """

    recipe: Recipe
    why: str = ""
    ranking: Ranking | None = None

    def told_in(self, plan: Plan) -> Plan:
        """The plan of the recipe with the reason among its notes."""
        return replace(plan, notes=(self.why, *plan.notes)) if self.why else plan


def choose_base(
    recipe: Recipe,
    *,
    models: Sequence[str] | None = None,
    device: str = "auto",
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> BaseChoice:
    """Settle `base: auto` by `rank_bases`; a recipe that names its base is given back as it is.

    The bases are measured on the labelled images that the recipe trains and judges on. No test
    image is looked at, and nothing is trained.

    Args:
        recipe: Its base may be `auto`.
        models: To choose from; by default all detectors of the store.
        device: As `Detector.to` takes it.
        progress: As `rank_bases` takes it.

    Raises:
        UserError: a target or pair is unknown or lacks a split, a labelled image is damaged, there
            are too few of them to compare bases on, or no base is left that fits the recipe.
    """
    filled = with_pair(recipe)
    if filled.base != AUTO:
        return BaseChoice(recipe)
    targets = _targets(filled)
    for name, target in zip(targets_of(filled), targets, strict=True):
        refuse_empty_splits(name, target)
    train, validation = labelled_samples(
        targets, recipe.labels, seed=recipe.seed, validation_share=recipe.validation_share
    )
    refuse_unreadable([*train, *validation])
    ranking = rank_bases(
        targets,
        (*train, *validation),
        models=models,
        radius_um=recipe.evaluation.radius_um,
        seed=recipe.seed,
        device=device,
        progress=progress,
    )
    name, unfit = _first_that_fits(ranking, filled, targets, train)
    why = _reason(name, ranking, unfit)
    description = " ".join(part for part in (recipe.description, f"{_capital(why)}.") if part)
    return BaseChoice(recipe.replaced(base=name, description=description), why, ranking)


def _targets(recipe: Recipe) -> tuple[Dataset, ...]:
    """As the plan has them: with the recipe's classes and mpp, its held-out cases tested on."""
    tables = recipe.auxiliary
    if not any((tables.classes, tables.mpp, tables.held_out)):
        return tuple(map(find_dataset, targets_of(recipe)))
    without_base = recipe.replaced(base="none")
    pairs = (pair_of(without_base, name) for name in targets_of(recipe))
    return tuple(relabelled_target(find_members(pair)) for pair in pairs)


def _first_that_fits(
    ranking: Ranking, recipe: Recipe, targets: Sequence[Dataset], train: Sequence[Sample]
) -> tuple[str, list[str]]:
    """The most promising base that the recipe does not contradict, and the better ones it does."""
    _ = ranking.best  # tells why where there is none
    refused: list[UserError] = []
    for number, base in enumerate(ranking.bases):
        try:
            named = recipe.replaced(base=base.name)
            detector = Detector.load(find_weights(base.name))
            start = start_detector(named, detector, targets, train)
            summarise_training(start.network, named.freeze, named.train)
        except UserError as error:
            refused.append(error)
        else:
            return base.name, [each.name for each in ranking.bases[:number]]
    raise UserError(
        f"No base that can be compared on this target fits the recipe: {refused[0]}"
    ) from refused[0]


def _reason(name: str, ranking: Ranking, unfit: Sequence[str]) -> str:
    (base,) = (each for each in ranking.bases if each.name == name)
    chosen = base.recalibrated
    interval = (
        ""
        if chosen.low is None or chosen.high is None
        else f" (95 % interval {chosen.low:.3f} to {chosen.high:.3f})"
    )
    others = [each for each in ranking.bases if each.name not in (name, *unfit)]
    following = f"; next {others[0].name}, {others[0].recalibrated.f1:.3f}" if others else ""
    contradicted = f"; {', '.join(unfit)} would not fit the recipe" if unfit else ""
    return (
        f"base {name} was chosen by rank among {counted(len(ranking.bases), 'detector')}: "
        f"recalibrated F1 {chosen.f1:.3f}{interval} on "
        f"{counted(ranking.n_images, 'labelled image')}{following}{contradicted}"
    )


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
