"""The base as it is on the images that judge the trials: what a sweep has to beat."""

from __future__ import annotations

from typing import Any

from transfer_kit.detector import Detector
from transfer_kit.evaluation import adopt, calibrate
from transfer_kit.plan import Plan
from transfer_kit.sweeps.sweep import Sweep
from transfer_kit.sweeps.trial import criterion_of, judged_images
from transfer_kit.training.judge import CRITERIA, judged, judged_by


def base_as_it_is(plan: Plan, sweep: Sweep) -> dict[str, Any] | None:
    """The base's figure; None from scratch.

    How it decodes is calibrated on all of the target's labels, as in the runs' column, and it is
    judged as each round of a training is. It is no trial: it has no values of the searched fields,
    and a sampler would learn from any that it were given.
    """
    if plan.base is None:
        return None
    radius_um = plan.recipe.evaluation.radius_um
    base = Detector(plan.base.network, plan.base.codec, plan.base.card.model_copy()).to("auto")
    adopt(base, calibrate(base, [*plan.train, *plan.validation], radius_um=radius_um))
    figures = judged(base, judged_images(plan, sweep), radius_um=radius_um)
    return {"validation": criterion_of(figures), "criterion": CRITERIA[judged_by(figures)]}
