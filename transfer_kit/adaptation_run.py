"""An adaptation without labels from start to end: measure the base, adapt, measure again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_kit.adaptation import AdaptationPlan
from transfer_kit.detector import Detector
from transfer_kit.evaluation import Difference, paired_difference
from transfer_kit.plan_training import fill_in_card
from transfer_kit.run import Column, RunResult, begun, measure, measure_forgetting
from transfer_kit.run_folder import write_results
from transfer_kit.run_tracking import log_outputs
from transfer_kit.tracking import TrackedRun, open_tracking
from transfer_kit.training.record import describe_data
from transfer_kit.training.self_training import self_train
from transfer_kit.training.stain import record_stain
from transfer_kit.training.train import Trained
from transfer_kit.transfer.batchnorm import recalibrate
from transfer_kit.transfer.freezing import Freezing

UNLABELLED = "train, without labels"
"""What a card says of images that were learned from and whose annotations were not read."""


@dataclass(frozen=True)
class AdaptationResult(RunResult):
    """What came of an adaptation; `columns` are `base` and `adapted`, or none without labels.

    Attributes:
        plan: What was to be done.
        gain: F1 over the base as it is, with the same threshold.
    """

    plan: AdaptationPlan

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        recipe = self.plan.recipe
        return {
            "run": str(self.folder),
            "mlflow_run_id": self.mlflow_run_id,
            "target": recipe.target,
            "adaptation": recipe.adaptation.name,
            "n_unlabelled_images": len(self.plan.images),
            "threshold": self.trained.detector.card.threshold,
            "seconds": round(self.trained.seconds, 1),
            **{
                name: self.columns[name].as_dict() if name in self.columns else None
                for name in ("base", "adapted")
            },
            "gain_over_base": None if self.gain is None else self.gain.as_dict(),
            "forgetting": [part.as_dict() for part in self.forgetting],
            "notes": list(self.plan.notes),
        }


def adapt_recipe(plan: AdaptationPlan, folder: Path, *, device: str = "auto") -> AdaptationResult:
    """Carry out a plan; where `folder` holds an interrupted run of it, go on from there.

    Raises:
        UserError: the device or the MLflow store cannot be used (then nothing is written), the loss
            became infinite, or no space is left; what was there is kept.
    """
    plan.start.to(device)
    tracking = open_tracking(experiment=plan.target_name)
    with begun(plan, folder, tracking, name=folder.name) as tracked:
        columns = {"base": measure(plan.adapted, plan, device)} if plan.test else {}
        trained = _adapt(plan, folder, tracked, device)
        if plan.test:
            columns["adapted"] = measure(trained.detector, plan, device)
        result = AdaptationResult(
            folder=folder,
            mlflow_run_id=tracked.run_id,
            plan=plan,
            columns=columns,
            trained=trained,
            learned="adapted",
            forgetting=measure_forgetting(plan, trained.detector, device),
            gain=_gain(columns),
        )
        fill_in_card(
            trained,
            plan,
            folder.name,
            of=plan.unlabelled[0],
            learned=describe_data(plan.unlabelled, plan.images, UNLABELLED),
            base=plan.adapted.card,
            scores=columns["adapted"].scores if plan.test else None,
        )
        write_results(result)
        log_outputs(result, tracked)
    return result


def _adapt(plan: AdaptationPlan, folder: Path, tracked: TrackedRun, device: str) -> Trained:
    if plan.recipe.adaptation.name != "self_training":
        return adapt_at_once(plan.start, plan)
    return self_train(
        plan.start,
        plan.images,
        plan.recipe,
        folder=folder / "checkpoints",
        device=device,
        record=lambda point, step: tracked.log_metrics(point, step=step),
    )


def adapt_at_once(start: Detector, plan: AdaptationPlan) -> Trained:
    """The adaptations that take no step: nothing is left to go on with after an interruption.

    `stain` is in the card already: the detector brings each image to the base's stain. Frozen
    blocks keep the base's statistics.
    """
    began = time.perf_counter()
    recipe = plan.recipe
    if recipe.adaptation.name == "batch_norm":
        Freezing(start.network, recipe.freeze).apply(0)
        recalibrate(start, plan.images, crop_px=recipe.patches.size_px, seed=recipe.seed)
    start.to("cpu").network.eval()
    record_stain(start.card, plan.images, recipe)
    return Trained(start, (), steps=0, best_step=0, seconds=time.perf_counter() - began)


def _gain(columns: dict[str, Column]) -> Difference | None:
    if not columns:
        return None
    return paired_difference(columns["adapted"].scores, columns["base"].scores)
