"""One trial from start to end: its values drawn, trained, judged on validation images, told."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.pair_choice import targets_of
from transfer_kit.plan import Plan, make_plan
from transfer_kit.plan_training import train_plan
from transfer_kit.recipe import Recipe
from transfer_kit.run_data import data_of
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.sweeps.claims import fail, identifier
from transfer_kit.sweeps.opened import Opened
from transfer_kit.sweeps.slots import ERROR, RESULT, SLOT
from transfer_kit.sweeps.space import Values, fields_of
from transfer_kit.sweeps.storage import refusing
from transfer_kit.sweeps.sweep import Sweep
from transfer_kit.tracking.environment import describe_environment
from transfer_kit.tracking.system_metrics import SystemMetrics
from transfer_kit.training.judge import CRITERIA, Curve, judged, judged_by
from transfer_kit.training.module import NotFiniteLossError
from transfer_kit.training.train import Trained
from transfer_kit.yaml_faults import parse_yaml

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

T = TypeVar("T")

RECIPE, CHECKPOINTS, SYSTEM = "recipe.yaml", "checkpoints", "system.json"
LONGEST_WAIT_SECONDS = 600.0


class TakenAwayError(UserError):
    """Others took the worker for dead and its trial for lost."""


def carry_out(opened: Opened, taken: FrozenTrial) -> None:
    """Train what a taken trial is to try, and tell its storage what came of it.

    Raises:
        UserError: the training failed, which the trial then says, too; or others took it for lost.
    """
    from optuna import Trial
    from optuna.exceptions import StorageInternalError, TrialPruned, UpdateFinishedTrialError
    from optuna.trial import TrialState

    study = opened.for_trial(taken.number)
    trial = Trial(study, identifier(study, taken.number))
    curve: list[Curve] = []
    try:
        values, told = _trained(opened, trial, int(taken.user_attrs[SLOT]), curve)
        _tell(study, trial, told, state=TrialState.COMPLETE, values=values)
    except TrialPruned:
        _tell(study, trial, {"curve": curve}, state=TrialState.PRUNED)
    except UpdateFinishedTrialError:
        raise TakenAwayError(
            "this worker gave no sign of life for so long that its trial was given to another."
        ) from None
    except UserError as error:
        if isinstance(error.__context__, NotFiniteLossError):
            # An outcome like others: with these values the training ends early.
            _tell(study, trial, {"curve": curve, "diverged": True}, state=TrialState.PRUNED)
            return
        fail(study, taken, **{ERROR: str(error)})
        raise
    except StorageInternalError:
        with refusing(opened.place):  # where it cannot be told; the trial counts as lost
            raise
    except Exception as error:
        fail(study, taken, **{ERROR: f"{type(error).__name__}: {error}"})
        raise


def suggested(trial: Trial, sweep: Sweep) -> Values:
    """The values of a trial, drawn by the sampler where they are not fixed."""
    values: Values = {}
    for name, field in sweep.search.items():
        if not sweep.is_searched(name, values):
            continue
        if field.choice is not None:
            values[name] = trial.suggest_categorical(name, field.labels)
        elif field.int_range is not None:
            least, most = field.int_range
            step = int(field.step or 1)
            values[name] = trial.suggest_int(name, least, most, step=step, log=field.log)
        else:
            low, high = field.ends
            values[name] = trial.suggest_float(name, low, high, step=field.step, log=field.log)
    return values


def judged_images(plan: Plan, sweep: Sweep) -> tuple[Sample, ...]:
    """The images that all trials are judged on.

    Those of the training's own judge; where labels are searched the whole validation split, which
    is the same for all of them and trains none.

    Raises:
        UserError: there is none.
    """
    if "labels" in sweep.search:
        targets = [find_dataset(name) for name in targets_of(plan.recipe)]
        return tuple(sample for target in targets for sample in target.split("validation"))
    if not plan.validation:
        raise UserError(
            "A sweep chooses by validation images, of which there is none with labels: "
            f"{plan.recipe.labels}; set a validation_share above 0, or label more images."
        )
    return plan.validation


def criterion_of(figures: Curve) -> float:
    """The one of the judge's figures that decides."""
    return figures[judged_by(figures)]


def _trained(
    opened: Opened, trial: Trial, number: int, curve: list[Curve]
) -> tuple[list[float], dict[str, Any]]:
    """The objectives of a trial, and what else is known of it."""
    started = time.perf_counter()
    sweep = opened.sweep
    values = patiently(lambda: suggested(trial, sweep))
    recipe = opened.recipe.replaced(**fields_of(sweep, values))
    own = _folder(opened.place.trial(number), recipe)
    plan = make_plan(recipe)
    images = judged_images(plan, sweep)

    def record(point: Curve, step: int) -> None:
        curve.append({"step": step, **point})
        if not sweep.has_two_objectives:
            patiently(lambda: _report(trial, point, step))

    with _watched(own / SYSTEM):
        trained = train_plan(plan, own / CHECKPOINTS, record=record, title=f"trial {number}")
    objectives = _objectives(plan, trained, images, sweep)
    outside = time.perf_counter() - started - trained.seconds
    return [objectives[name] for name in sweep.objectives], {
        **objectives,
        "criterion": CRITERIA[trained.criterion],
        "curve": curve,
        "best_step": trained.best_step,
        "steps": trained.steps,
        "n_train_images": len(plan.train),
        "n_validation_images": len(images),
        "trainable_parameters": plan.trainable,
        "environment": describe_environment(str(trained.detector.device)).as_dict(),
        "data": _data_of(plan),
        "seconds_beside_training": round(outside, 2),
    }


def _objectives(
    plan: Plan, trained: Trained, images: Sequence[Sample], sweep: Sweep
) -> dict[str, float]:
    if "labels" in sweep.search:
        radius_um = plan.recipe.evaluation.radius_um
        figures = judged(trained.detector, images, radius_um=radius_um)
        validation = criterion_of(figures)
    else:
        validation = max(criterion_of(point) for point in trained.curve)
    return {
        "validation": validation,
        "seconds": round(trained.seconds, 2),
        "labels": len(plan.train) + len(plan.validation),
    }


@contextmanager
def _watched(path: Path) -> Iterator[None]:
    """Load and memory of the machine meanwhile, in a file."""
    seen: list[dict[str, Any]] = []
    began_ms = time.time_ns() // 1_000_000
    with SystemMetrics(lambda sample: seen.append(sample._asdict()), began_ms=began_ms):
        yield
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(seen), encoding="utf-8")


_known_data: dict[Any, list[dict[str, Any]]] = {}


def _data_of(plan: Plan) -> list[dict[str, Any]]:
    """The data by content; the same images are hashed once in a process."""
    auxiliary = tuple((each.name, each.samples) for each in plan.auxiliary)
    key = (plan.train, plan.validation, plan.test, auxiliary)
    if key not in _known_data:
        _known_data[key] = [asdict(part) for part in data_of(plan)]
    return _known_data[key]


def _report(trial: Trial, point: Curve, step: int) -> None:
    """Tell Optuna of a round, and stop where the pruner says so."""
    from optuna.exceptions import TrialPruned

    trial.report(criterion_of(point), step)
    if trial.should_prune():
        raise TrialPruned


def _tell(study: Study, trial: Trial, result: dict[str, Any], **how: Any) -> None:
    def tell() -> None:
        trial.set_user_attr(RESULT, _finite(result))
        study.tell(trial, **how)

    patiently(tell)


def _finite(document: Any) -> Any:
    """JSON of databases knows no infinity."""
    if isinstance(document, dict):
        return {name: _finite(value) for name, value in document.items()}
    if isinstance(document, list):
        return [_finite(value) for value in document]
    if isinstance(document, float) and not math.isfinite(document):
        return None
    return document


def patiently(call: Callable[[], T]) -> T:
    """What a call gives; where the database does not answer, it is asked again for ten minutes."""
    from optuna.exceptions import StorageInternalError

    begun, pause = time.monotonic(), 1.0
    while True:
        try:
            return call()
        except StorageInternalError:
            if time.monotonic() - begun > LONGEST_WAIT_SECONDS:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 30.0)


def _folder(folder: Path, recipe: Recipe) -> Path:
    """The trial's folder: as an attempt with the same recipe left it, else empty."""
    there = folder / RECIPE
    if there.is_file() and parse_yaml(there) != recipe.model_dump(mode="json"):
        shutil.rmtree(folder)
    if not there.is_file():
        recipe.write(there)
    return folder
