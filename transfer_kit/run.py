"""One recipe from start to end: plan, measure the base, train, measure again, keep it all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_kit.detector import Detector
from transfer_kit.evaluation import (
    DetectionScores,
    Difference,
    Evaluated,
    best_threshold,
    evaluate,
    examine,
    paired_difference,
)
from transfer_kit.plan import Plan
from transfer_kit.run_folder import begin, remember, write_results
from transfer_kit.run_tracking import log_inputs, log_outputs, tags_of
from transfer_kit.start import start_detector
from transfer_kit.tracking import open_tracking
from transfer_kit.training.record import complete_card, describe_data
from transfer_kit.training.train import Trained, train

COLUMNS = ("base", "base_recalibrated", "finetuned", "scratch")


@dataclass(frozen=True)
class Column:
    """One detector on the target's test images."""

    examined: list[Evaluated]
    scores: DetectionScores


@dataclass(frozen=True)
class Forgetting:
    """The base's own held-out cases, before and after."""

    dataset: str
    stands_in: bool
    before: DetectionScores
    after: DetectionScores


@dataclass(frozen=True)
class RunResult:
    """What came of a recipe; `folder` and the MLflow run hold the same."""

    folder: Path
    mlflow_run_id: str
    plan: Plan
    columns: dict[str, Column]
    forgetting: tuple[Forgetting, ...]
    gain: Difference | None
    trained: Trained
    scratch: Trained | None

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run": str(self.folder),
            "mlflow_run_id": self.mlflow_run_id,
            "target": self.plan.recipe.target,
            "n_train_images": len(self.plan.train),
            "n_train_nuclei": self.plan.n_train_nuclei,
            "n_validation_images": len(self.plan.validation),
            "trainable_parameters": self.plan.trainable,
            "seconds": round(self.trained.seconds, 1),
            **{
                name: {"test": self.columns[name].scores.as_dict()}
                if name in self.columns
                else None
                for name in COLUMNS
            },
            "gain_over_recalibrated": None if self.gain is None else self.gain.as_dict(),
            "forgetting": [
                {
                    "dataset": part.dataset,
                    "stands_in": part.stands_in,
                    "before": part.before.as_dict(),
                    "after": part.after.as_dict(),
                }
                for part in self.forgetting
            ],
            "notes": list(self.plan.notes),
        }


def run_recipe(
    plan: Plan,
    folder: Path,
    *,
    device: str = "auto",
    compare_scratch: bool = False,
) -> RunResult:
    """Carry out a plan; where `folder` holds an interrupted run of it, go on from there.

    Raises:
        UserError: the device or the MLflow store cannot be used (then nothing is written), the loss
            became infinite, or no space is left; what was there is kept.
    """
    recipe = plan.recipe
    plan.start.to(device)
    tracking = open_tracking(experiment=plan.target_name)
    options = begin(folder, recipe, compare_scratch=compare_scratch)
    run = tracking.start_run(
        folder.name, tags=tags_of(plan), folder=folder, run_id=options.get("mlflow_run_id")
    )
    with run as tracked:
        remember(folder, mlflow_run_id=tracked.run_id)
        log_inputs(plan, tracked)
        columns = _measure_base(plan, device)
        trained = train(
            plan.start,
            plan.train,
            plan.validation,
            recipe,
            folder=folder / "checkpoints",
            device=device,
            record=lambda point, step: tracked.log_metrics(point, step=step),
            title="fine-tuning" if plan.base else "training",
        )
        columns["finetuned"] = _measure(trained.detector, plan, device)
        scratch = _train_scratch(plan, folder, device) if compare_scratch else None
        if scratch is not None:
            columns["scratch"] = _measure(scratch.detector, plan, device)
        forgetting = _measure_forgetting(plan, trained.detector, device)
        _complete_card(plan, trained, columns["finetuned"].scores, name=folder.name)
        result = RunResult(
            folder, tracked.run_id, plan, columns, forgetting, _gain(columns), trained, scratch
        )
        write_results(result)
        log_outputs(result, tracked)
    return result


def _measure(detector: Detector, plan: Plan, device: str) -> Column:
    examined = examine(detector.to(device), plan.test)
    scores = evaluate(
        examined, radius_um=plan.recipe.evaluation.radius_um, threshold=detector.card.threshold
    )
    return Column(examined, scores)


def _measure_base(plan: Plan, device: str) -> dict[str, Column]:
    """The base with its own threshold, and with one chosen on all of the target's few labels."""
    if plan.base is None:
        return {}
    radius_um = plan.recipe.evaluation.radius_um
    as_it_is = _measure(plan.base, plan, device)
    labelled = examine(plan.base, [*plan.train, *plan.validation])
    recalibrated = best_threshold(labelled, radius_um=radius_um).value
    scores = evaluate(as_it_is.examined, radius_um=radius_um, threshold=recalibrated)
    return {"base": as_it_is, "base_recalibrated": Column(as_it_is.examined, scores)}


def _train_scratch(plan: Plan, folder: Path, device: str) -> Trained:
    """The same recipe, steps and labels, starting from nothing."""
    recipe = plan.recipe.replaced(base="none", freeze=0, **{"train.batch_norm": "train"})
    return train(
        start_detector(recipe, None, plan.targets, plan.train),
        plan.train,
        plan.validation,
        recipe,
        folder=folder / "scratch" / "checkpoints",
        device=device,
        title="from scratch",
    )


def _measure_forgetting(plan: Plan, after: Detector, device: str) -> tuple[Forgetting, ...]:
    if plan.base is None:
        return ()
    parts = []
    for held_out in plan.held_out:
        before, then = (
            evaluate(
                examine(detector.to(device), held_out.samples),
                radius_um=plan.recipe.evaluation.radius_um,
                threshold=detector.card.threshold,
            )
            for detector in (plan.base, after)
        )
        parts.append(Forgetting(held_out.name, held_out.stands_in, before, then))
    return tuple(parts)


def _gain(columns: dict[str, Column]) -> Difference | None:
    if "base_recalibrated" not in columns:
        return None
    base, tuned = columns["base_recalibrated"], columns["finetuned"]
    return paired_difference(tuned.scores, base.scores)


def _complete_card(plan: Plan, trained: Trained, scores: DetectionScores, *, name: str) -> None:
    card, first = trained.detector.card, plan.targets[0].card
    card.name, card.organ, card.stain = name, first.organ, first.stain
    card.steps, card.seconds = trained.steps, round(trained.seconds, 1)
    learned = describe_data(plan.targets, plan.train, "train")
    judged = describe_data(plan.targets, plan.validation, "validation")
    complete_card(
        card,
        plan.recipe,
        learned=[*learned, *judged],
        held_out=describe_data(plan.targets, plan.test, "test"),
        base=plan.base.card if plan.base else None,
        scores=scores,
    )
