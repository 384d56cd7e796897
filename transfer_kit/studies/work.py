"""One trial from start to end: trained, measured, and kept; each thing once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.evaluation import DetectionScores, adopt, calibrate, evaluate, examine
from transfer_kit.labels import labelled_samples, refuse_empty_splits
from transfer_kit.pair_choice import targets_of
from transfer_kit.plan import find_held_out, make_plan, refuse_leak
from transfer_kit.ranking import rank_bases
from transfer_kit.recipe import Recipe
from transfer_kit.run_data import data_of
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights
from transfer_kit.studies.cache import CHECKPOINTS, DETECTOR, RESULT, Cache, Document, kept
from transfer_kit.studies.identity import digest
from transfer_kit.studies.learning import describe, learn
from transfer_kit.studies.task import (
    BASE,
    ELSEWHERE,
    FORGOTTEN,
    PROMISE,
    RECALIBRATED,
    Task,
    tables_of,
)
from transfer_kit.tracking.environment import describe_environment
from transfer_kit.tracking.system_metrics import Sample as SystemSample
from transfer_kit.tracking.system_metrics import SystemMetrics


def carry_out(task: Task, folder: Path) -> None:
    """Do what of a task is not in the cache yet; a killed training goes on.

    Raises:
        UserError: a name is unknown, the plan is refused, or the training fails.
    """
    cache = Cache(folder)
    if task.key:
        own = cache.training(task.key)
        kept(own / RESULT, lambda: _trained(task, cache))
        _clear(own, keep_checkpoint=task.is_base)
    for (kind, name), key in task.measurements.items():
        kept(cache.measurement(kind, key), _measurement(kind, name, task, cache))


def _measurement(kind: str, name: str, task: Task, cache: Cache) -> Callable[[], Document]:
    recipe = task.recipe
    makers: dict[str, Callable[[], Document]] = {
        BASE: lambda: _base_as_it_is(recipe),
        RECALIBRATED: lambda: _base_recalibrated(recipe),
        FORGOTTEN: lambda: _forgotten(task, cache),
        ELSEWHERE: lambda: _elsewhere(name, task, cache),
        PROMISE: lambda: _promise(recipe),
    }
    return makers[kind]


def _trained(task: Task, cache: Cache) -> Document:
    own = cache.training(task.key)
    checkpoints = own / CHECKPOINTS
    if task.goes_on_from and not checkpoints.is_dir():
        before = cache.training(task.goes_on_from) / CHECKPOINTS
        shutil.copytree(before, own / f".{CHECKPOINTS}", dirs_exist_ok=True)
        (own / f".{CHECKPOINTS}").rename(checkpoints)
    task.recipe.write(own / "recipe.yaml")
    cpu = time.process_time()
    seen: list[SystemSample] = []
    with SystemMetrics(seen.append, began_ms=time.time_ns() // 1_000_000):
        plan, trained = learn(task.recipe, checkpoints, title=task.name)
    scores = _scores(trained.detector, plan.test, plan.recipe)
    describe(plan, trained, scores, f"study-{task.key}")
    trained.detector.save(own / DETECTOR)
    return {
        "recipe": plan.recipe.model_dump(mode="json"),
        "n_train_images": len(plan.train),
        "n_validation_images": len(plan.validation),
        "n_train_nuclei": plan.n_train_nuclei,
        "trainable_parameters": plan.trainable,
        "steps": trained.steps,
        "best_step": trained.best_step,
        "seconds": round(trained.seconds, 1),
        "cpu_seconds_of_the_last_part": round(time.process_time() - cpu, 1),
        "device": str(trained.detector.device),
        "curve": list(trained.curve),
        "notes": list(plan.notes),
        "test": _as_document(scores),
        "environment": describe_environment(str(trained.detector.device)).as_dict(),
        "system": [sample._asdict() for sample in seen],
        "data": [asdict(part) for part in data_of(plan)],
    }


def _clear(own: Path, *, keep_checkpoint: bool) -> None:
    """What only an interrupted training needs; a base's may be gone on from."""
    if not keep_checkpoint:
        shutil.rmtree(own / CHECKPOINTS, ignore_errors=True)


def _base_as_it_is(recipe: Recipe) -> Document:
    base = _base_of(recipe)
    refuse_leak(base.card, _targets(recipe))
    return {"test": _as_document(_scores(base, _tested(recipe), recipe))}


def _base_recalibrated(recipe: Recipe) -> Document:
    base = _base_of(recipe)
    refuse_leak(base.card, _targets(recipe))
    adopt(base, calibrate(base, _labelled(recipe), radius_um=recipe.evaluation.radius_um))
    return {"test": _as_document(_scores(base, _tested(recipe), recipe))}


def _forgotten(task: Task, cache: Cache) -> Document:
    """The base's own held-out cases, by the base and by what was trained from it."""
    base, trained = _base_of(task.recipe), Detector.load(cache.detector(task.key))
    notes: list[str] = []
    parts = []
    for held_out in find_held_out(base.card, notes):
        samples = [sample.id for sample in held_out.samples]
        radius_um = task.recipe.evaluation.radius_um
        known = digest([base.card.model_dump(mode="json"), held_out.name, samples, radius_um])
        before = kept(
            cache.measurement("before", known),
            lambda: _as_document(_scores(base, held_out.samples, task.recipe)),  # noqa: B023
        )
        after = _as_document(_scores(trained, held_out.samples, task.recipe))
        parts.append(
            {
                "dataset": held_out.name,
                "stands_in": held_out.stands_in,
                "before": before,
                "after": after,
            }
        )
    return {"parts": parts, "notes": notes}


def _elsewhere(name: str, task: Task, cache: Cache) -> Document:
    detector = Detector.load(cache.detector(task.key))
    dataset = find_dataset(name)
    refuse_leak(detector.card, [dataset])
    test = tuple(dataset.split("test"))
    return {"test": _as_document(_scores(detector, test, task.recipe))}


def _promise(recipe: Recipe) -> Document:
    """What `transfer-kit rank` says of the base before anything is trained."""
    ranking = rank_bases(
        _targets(recipe),
        _labelled(recipe),
        models=[recipe.base],
        radius_um=recipe.evaluation.radius_um,
        seed=recipe.seed,
        device="auto",
    )
    return ranking.best.as_dict()


def _base_of(recipe: Recipe) -> Detector:
    return Detector.load(find_weights(recipe.base))


def _targets(recipe: Recipe) -> list[Dataset]:
    return [find_dataset(name) for name in targets_of(recipe)]


def _tested(recipe: Recipe) -> tuple[Sample, ...]:
    if tables_of(recipe):
        return make_plan(recipe).test
    return tuple(sample for target in _targets(recipe) for sample in target.split("test"))


def _labelled(recipe: Recipe) -> list[Sample]:
    """The images that a training with this recipe would learn from and be judged by."""
    if tables_of(recipe):
        plan = make_plan(recipe)
        return [*plan.train, *plan.validation]
    targets = _targets(recipe)
    for name, target in zip(targets_of(recipe), targets, strict=True):
        refuse_empty_splits(name, target)
    learning, judging = labelled_samples(
        targets, recipe.labels, seed=recipe.seed, validation_share=recipe.validation_share
    )
    return [*learning, *judging]


def _scores(detector: Detector, samples: Sequence[Sample], recipe: Recipe) -> DetectionScores:
    pairs = examine(detector.to("auto"), samples)
    radius_um = recipe.evaluation.radius_um
    return evaluate(pairs, radius_um=radius_um, threshold=detector.card.threshold)


def _as_document(scores: DetectionScores) -> dict[str, Any]:
    return {**scores.as_dict(), "case_counts": dict(scores.case_counts)}
