"""One recipe from start to end: plan, measure the base, train, measure again, keep it all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.evaluation import (
    DetectionScores,
    Difference,
    Evaluated,
    SegmentationScores,
    adopt,
    calibrate,
    evaluate,
    evaluate_segmentation,
    examine,
    paired_difference,
)
from transfer_kit.pair_choice import pair_of
from transfer_kit.plan import Plan
from transfer_kit.plan_training import fill_in_card, learned_by, train_plan
from transfer_kit.run_folder import alone_in, begin, remember, write_results
from transfer_kit.run_tracking import (
    log_environment,
    log_inputs,
    log_outputs,
    tag_as_compared,
    tags_of,
)
from transfer_kit.start import start_detector
from transfer_kit.tracking import TrackedRun, Tracking, open_tracking
from transfer_kit.training.train import Trained
from transfer_kit.transfer.summary import summarise_training

COLUMNS = ("base", "base_recalibrated", "finetuned", "scratch")


@dataclass(frozen=True)
class Column:
    """One detector on the images that it was measured on, the target's test images as a rule."""

    examined: list[Evaluated]
    scores: DetectionScores

    @cached_property
    def segmentation(self) -> SegmentationScores | None:
        """Of whole nuclei; None where they are not annotated or not found whole."""
        return evaluate_segmentation(self.examined, threshold=self.scores.threshold)

    def as_dict(self) -> dict[str, Any]:
        """Its figures, ready for JSON."""
        whole = self.segmentation
        told = {"test": self.scores.as_dict()}
        return told if whole is None else told | {"segmentation": whole.as_dict()}


@dataclass(frozen=True)
class Forgetting:
    """The base's own held-out cases, before and after; whole nuclei where both find them."""

    dataset: str
    stands_in: bool
    before: DetectionScores
    after: DetectionScores
    whole_before: SegmentationScores | None = None
    whole_after: SegmentationScores | None = None

    def as_dict(self) -> dict[str, Any]:
        """Its figures, ready for JSON."""
        told: dict[str, Any] = {
            "dataset": self.dataset,
            "stands_in": self.stands_in,
            "before": self.before.as_dict(),
            "after": self.after.as_dict(),
        }
        whole = self.whole_before, self.whole_after
        for name, scores in zip(("before", "after"), whole, strict=True):
            if scores is not None:
                told[f"segmentation_{name}"] = scores.as_dict()
        return told


@dataclass(frozen=True)
class RunResult:
    """What came of a recipe; `folder` and the MLflow run hold the same.

    Attributes:
        columns: By name, those of `COLUMNS` that were measured.
        learned: The column of the detector that this run trained.
        scratch: The run of the training from scratch that it was compared with.
    """

    folder: Path
    mlflow_run_id: str
    plan: Plan
    columns: dict[str, Column]
    trained: Trained
    learned: str = "finetuned"
    forgetting: tuple[Forgetting, ...] = ()
    gain: Difference | None = None
    scratch: RunResult | None = None

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run": str(self.folder),
            "mlflow_run_id": self.mlflow_run_id,
            "target": self.plan.recipe.target,
            "n_train_images": len(self.plan.train),
            "n_train_nuclei": self.plan.n_train_nuclei,
            "n_validation_images": len(self.plan.validation),
            "n_auxiliary_images": sum(len(source.samples) for source in self.plan.auxiliary),
            "trainable_parameters": self.plan.trainable,
            "seconds": round(self.trained.seconds, 1),
            **{
                name: self.columns[name].as_dict() if name in self.columns else None
                for name in COLUMNS
            },
            "gain_over_recalibrated": None if self.gain is None else self.gain.as_dict(),
            "forgetting": [part.as_dict() for part in self.forgetting],
            "notes": list(self.plan.notes),
        }


def run_recipe(
    plan: Plan, folder: Path, *, device: str = "auto", compare_scratch: bool = False
) -> RunResult:
    """Carry out a plan; where `folder` holds an interrupted run of it, go on from there.

    Raises:
        UserError: the device or the MLflow store cannot be used (then nothing is written), the loss
            became infinite, or no space is left; what was there is kept.
    """
    plan.start.to(device)
    tracking = open_tracking(experiment=plan.target_name)
    run = begun(plan, folder, tracking, name=folder.name, compare_scratch=compare_scratch)
    with run as tracked:
        columns = _measure_base(plan, device)
        title = "fine-tuning" if plan.base else "training"
        trained = _train(plan, folder, tracked, device=device, title=title)
        columns["finetuned"] = measure(trained.detector, plan, device)
        scratch = _run_scratch(plan, folder, tracked, tracking, device) if compare_scratch else None
        columns |= scratch.columns if scratch else {}
        result = RunResult(
            folder=folder,
            mlflow_run_id=tracked.run_id,
            plan=plan,
            columns=columns,
            trained=trained,
            forgetting=measure_forgetting(plan, trained.detector, device),
            gain=_gain(columns),
            scratch=scratch,
        )
        _keep(result, tracked, name=folder.name)
    return result


def follow_run(plan: Plan, folder: Path, *, device: str, compare_scratch: bool = False) -> None:
    """Take part in the trainings of the leader's `run_recipe`, which alone measures and writes.

    Args:
        plan: The same as the leader's.
        folder: The leader's, where it could be seen from here.
        device: Of this process.
        compare_scratch: As the leader's.
    """
    train_plan(plan, folder / "checkpoints", device=device)
    if compare_scratch:
        train_plan(from_nothing(plan), folder / "scratch" / "checkpoints", device=device)


def _run_scratch(
    finetuning: Plan, folder: Path, beside: TrackedRun, tracking: Tracking, device: str
) -> RunResult:
    """The same steps and labels starting from nothing: a run of its own beside the fine-tuning."""
    plan, name = from_nothing(finetuning), f"scratch-{folder.name}"
    folder = folder / "scratch"
    with begun(plan, folder, tracking, name=name) as tracked:
        tag_as_compared(tracked, beside)
        trained = _train(plan, folder, tracked, device=device, title="from scratch")
        result = RunResult(
            folder=folder,
            mlflow_run_id=tracked.run_id,
            plan=plan,
            columns={"scratch": measure(trained.detector, plan, device)},
            trained=trained,
            learned="scratch",
        )
        _keep(result, tracked, name=name)
    return result


def from_nothing(plan: Plan) -> Plan:
    """The same labels, auxiliary data, steps and kind of detector without the base.

    Without what of the base's own data is replayed, since there is nothing to forget.
    """
    nothing: dict[str, Any] = {"network.pretrained": None, "train.batch_norm": "train"}
    nothing |= {"train.cache_features": False}
    nothing |= {"train.l2_sp": 0.0, "train.adapter.rank": 0, "train.optimizer.block_decay": 1.0}
    if plan.recipe.stain.normalise != "none" and plan.recipe.stain.reference == "base":
        nothing["stain.reference"] = plan.recipe.base  # the same images as the fine-tuning's
    if plan.recipe.auxiliary.replay is not None:
        nothing["auxiliary.replay"] = None
    recipe = plan.recipe.replaced(base="none", freeze=0, **nothing)
    auxiliary = tuple(source for source in plan.auxiliary if not source.is_replay)
    plan = replace(plan, recipe=recipe, base=None, auxiliary=auxiliary)
    start = start_detector(recipe, None, plan.learned_datasets, plan.learned_samples)
    blocks = tuple(summarise_training(start.network, 0, recipe.train))
    return replace(
        plan,
        start=start,
        pair=None if plan.pair is None else pair_of(recipe, recipe.target),
        held_out=(),
        blocks=blocks,
        trainable=sum(block.learning for block in blocks),
        notes=(),
    )


@contextmanager
def begun(
    plan: Plan, folder: Path, tracking: Tracking, *, name: str, compare_scratch: bool = False
) -> Iterator[TrackedRun]:
    """The plan's MLflow run, new, or gone on with where `folder` holds an interrupted one."""
    options = begin(folder, plan.recipe, pair=plan.pair, compare_scratch=compare_scratch)
    run = tracking.start_run(
        name,
        tags=tags_of(plan),
        folder=folder,
        run_id=options.get("mlflow_run_id"),
        key=options.get("run_key"),
        began_ms=options.get("began_ms"),
    )
    with alone_in(folder), run as tracked:
        remember(folder, mlflow_run_id=tracked.run_id or options.get("mlflow_run_id", ""))
        log_environment(folder, tracked, str(plan.start.device))
        log_inputs(plan, folder, tracked)
        yield tracked
        remember(folder, mlflow_run_id=tracked.run_id or options.get("mlflow_run_id", ""))


def _train(plan: Plan, folder: Path, tracked: TrackedRun, *, device: str, title: str) -> Trained:
    return train_plan(
        plan,
        folder / "checkpoints",
        device=device,
        record=lambda point, step: tracked.log_metrics(point, step=step),
        title=title,
    )


def measure(detector: Detector, plan: Plan, device: str) -> Column:
    """A detector on the target's test images."""
    return _measure_on(plan.test, detector, plan, device)


def _measure_on(samples: Sequence[Sample], detector: Detector, plan: Plan, device: str) -> Column:
    examined = examine(detector.to(device), samples)
    scores = evaluate(
        examined, radius_um=plan.recipe.evaluation.radius_um, threshold=detector.card.threshold
    )
    return Column(examined, scores)


def _measure_base(plan: Plan, device: str) -> dict[str, Column]:
    """The base as it is, and calibrated on all of the target's few labels."""
    if plan.base is None:
        return {}
    radius_um = plan.recipe.evaluation.radius_um
    as_it_is = measure(plan.base, plan, device)
    labelled = [*plan.train, *plan.validation]
    recalibrated = Detector(plan.base.network, plan.base.codec, plan.base.card.model_copy())
    adopt(recalibrated, calibrate(plan.base, labelled, radius_um=radius_um))
    if recalibrated.codec != plan.base.codec:
        return {"base": as_it_is, "base_recalibrated": measure(recalibrated, plan, device)}
    # The candidates are the same, so the test images need not be looked at again.
    scores = evaluate(as_it_is.examined, radius_um=radius_um, threshold=recalibrated.card.threshold)
    return {"base": as_it_is, "base_recalibrated": Column(as_it_is.examined, scores)}


def measure_forgetting(plan: Plan, after: Detector, device: str) -> tuple[Forgetting, ...]:
    """The base and what came of it on the base's own held-out cases."""
    if plan.base is None:
        return ()
    parts = []
    for held_out in plan.held_out:
        before, then = (
            _measure_on(held_out.samples, detector, plan, device) for detector in (plan.base, after)
        )
        parts.append(
            Forgetting(
                held_out.name,
                held_out.stands_in,
                before.scores,
                then.scores,
                before.segmentation,
                then.segmentation,
            )
        )
    return tuple(parts)


def _gain(columns: dict[str, Column]) -> Difference | None:
    if "base_recalibrated" not in columns:
        return None
    base, tuned = columns["base_recalibrated"], columns["finetuned"]
    return paired_difference(tuned.scores, base.scores)


def _keep(result: RunResult, tracked: TrackedRun, *, name: str) -> None:
    """Complete the card of what was trained; leave all in the folder, and the same in MLflow."""
    plan = result.plan
    fill_in_card(
        result.trained,
        plan,
        name,
        of=plan.targets[0],
        learned=learned_by(plan),
        base=plan.base.card if plan.base else None,
        scores=result.columns[result.learned].scores,
    )
    write_results(result)
    log_outputs(result, tracked)
