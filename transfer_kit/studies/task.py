"""What of a trial is to be trained and measured, each part with its key in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transfer_kit.pair_choice import TABLES, targets_of
from transfer_kit.recipe import Recipe
from transfer_kit.studies.cache import RESULT, Cache
from transfer_kit.studies.identity import Identities, alone, digest
from transfer_kit.studies.study import Study
from transfer_kit.studies.trials import Trial, base_recipes

BASE, RECALIBRATED, FORGOTTEN, ELSEWHERE, PROMISE = (
    "base",
    "recalibrated",
    "forgotten",
    "elsewhere",
    "promise",
)


@dataclass(frozen=True)
class Task:
    """A trial, ready to be carried out anywhere.

    Attributes:
        name: For people.
        place: Of the trial; empty for a base.
        recipe: Its base and target are names or paths that are found without the study.
        key: Of its training; empty where nothing is trained.
        measurements: The key of each further figure, by its kind, and for figures on other
            datasets by `elsewhere` and the dataset.
        goes_on_from: The training whose checkpoint this one goes on from.
        is_base: Whether others start from it.
    """

    name: str
    place: Mapping[str, str]
    recipe: Recipe
    key: str
    measurements: Mapping[tuple[str, str], str] = field(default_factory=dict)
    goes_on_from: str = ""
    is_base: bool = False

    def files(self, cache: Cache) -> list[Path]:
        """All that carrying it out leaves."""
        trained = [cache.training(self.key) / RESULT] if self.key else []
        return trained + [
            cache.measurement(kind, key) for (kind, _), key in self.measurements.items()
        ]

    def is_done(self, cache: Cache) -> bool:
        """Whether nothing of it is left to do."""
        return all(file.is_file() for file in self.files(cache))


@dataclass(frozen=True)
class Tasks:
    """Of a whole study: chains of bases, each in the order of its snapshots, then trials."""

    bases: tuple[tuple[Task, ...], ...]
    trials: tuple[Task, ...]


def tasks_of(
    study: Study, trials: tuple[Trial, ...], cache: Cache, made: Mapping[str, Path]
) -> Tasks:
    """The tasks of some trials of a study, and the bases that they need; nothing is trained.

    Args:
        study: Whose trials they are.
        trials: All, or those that were asked for.
        cache: Where bases will lie.
        made: The folders of the datasets that the study makes itself, by name.

    Raises:
        UserError: a base or a dataset is not known here.
    """
    known = Identities(study.bases, study.data)
    bases = tuple(
        _chain(name, study, known)
        for name in study.bases
        if any(trial.recipe.base.split("@")[0] == name for trial in trials)
    )
    return Tasks(bases, tuple(_task(trial, study, cache, known, made) for trial in trials))


def _chain(name: str, study: Study, known: Identities) -> tuple[Task, ...]:
    chain: list[Task] = []
    for each, recipe in base_recipes(name, study.bases[name]).items():
        recipe = alone(recipe)
        before = chain[-1].key if chain else ""
        key = known.of_training(recipe)
        chain.append(Task(f"base {each}", {}, recipe, key, goes_on_from=before, is_base=True))
    return tuple(chain)


def _task(
    trial: Trial, study: Study, cache: Cache, known: Identities, made: Mapping[str, Path]
) -> Task:
    named = alone(trial.recipe)
    fields: dict[str, object] = {}
    if named.base in known.trained_bases:
        key = known.of_training(known.trained_bases[named.base])
        fields["base"] = str(cache.detector(key).absolute())
    if named.target in made:
        fields["target"] = str(made[named.target].absolute())
    return Task(
        trial.name,
        trial.place,
        named.replaced(**fields) if fields else named,
        known.of_training(named) if "trained" in study.columns else "",
        _measurements(named, study, known),
    )


def _measurements(recipe: Recipe, study: Study, known: Identities) -> dict[tuple[str, str], str]:
    asked: dict[tuple[str, str], object] = {}
    radius_um = recipe.evaluation.radius_um
    target = [*map(known.of_data, targets_of(recipe)), tables_of(recipe)]
    labels = [recipe.labels, recipe.seed, recipe.validation_share]
    if recipe.base != "none":
        base = known.of_base(recipe.base)
        if "base" in study.columns:
            asked[BASE, ""] = [base, target, radius_um]
        if "recalibrated" in study.columns:
            asked[RECALIBRATED, ""] = [base, target, labels, radius_um]
        if study.promise:
            asked[PROMISE, ""] = [base, target, labels, radius_um]
        if study.forgetting and "trained" in study.columns:
            asked[FORGOTTEN, ""] = [known.of_training(recipe), radius_um]
    for name in study.test_also:
        if name != recipe.target and "trained" in study.columns:
            asked[ELSEWHERE, name] = [
                known.of_training(recipe), known.of_data(name), radius_um
            ]  # fmt: skip
    return {where: digest([where[0], document]) for where, document in asked.items()}


def tables_of(recipe: Recipe) -> dict[str, object]:
    """What the recipe says otherwise of its data than their cards do."""
    tables = {name: getattr(recipe.auxiliary, name) for name in TABLES}
    return {name: table for name, table in tables.items() if table}
