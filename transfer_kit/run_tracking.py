"""What of a run goes to MLflow: the same that its folder holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_kit.files import replacing
from transfer_kit.freeze_forms import write_freeze
from transfer_kit.gamma_forms import write_gamma
from transfer_kit.image_figures import IMAGES
from transfer_kit.pair_choice import TABLES
from transfer_kit.plan import Plan
from transfer_kit.run_data import DATA, DataPart, data_of, digests_by_context, write_data
from transfer_kit.run_folder import ENVIRONMENT, PAIR
from transfer_kit.tracking import TrackedRun
from transfer_kit.tracking.environment import describe_environment

if TYPE_CHECKING:
    from transfer_kit.run import Column, RunResult

METRICS = (
    "f1",
    "f1_low",
    "f1_high",
    "precision",
    "recall",
    "distance_mean",
    "distance_median",
    "threshold",
)
"""Of what the run itself trained."""

WHOLE_NUCLEI = ("aji", "pq", "dice")
"""Where its codec finds instances, beside them."""

OF_OTHERS = ("f1", "aji")
"""Of the columns that it is compared with; more would bury the learning curves in MLflow's page."""


def tags_of(plan: Plan) -> dict[str, str]:
    """The tags by which runs are found and compared."""
    recipe, start = plan.recipe, plan.start.card
    adapts = recipe.adaptation.name != "none"
    return {
        "base": recipe.base,
        "target": recipe.target,
        "model": start.network.name,
        "codec": start.codec.name,
        "freeze": write_freeze(recipe.freeze),
        "stain": start.stain,
        "labels": "none" if adapts else recipe.labels,
        "adaptation": recipe.adaptation.name,
        **({"pair": plan.pair.title} if plan.pair else {}),
        **_tags_of_mixture(plan),
    }


def _tags_of_mixture(plan: Plan) -> dict[str, str]:
    if not plan.auxiliary:
        return {}
    names = " + ".join(source.name for source in plan.auxiliary)
    return {"auxiliary": names, "gamma": write_gamma(plan.recipe.auxiliary.gamma)}


def tag_as_compared(one: TrackedRun, other: TrackedRun) -> None:
    """Let two runs name each other by `compared_with`."""
    one.log_link("compared_with", other)
    other.log_link("compared_with", one)


def log_environment(folder: Path, tracked: TrackedRun, device: str) -> None:
    """Packages, commit, device and threads, and from now on load and memory of the machine.

    Args:
        folder: Of the run, where `environment.json` is written.
        tracked: The run.
        device: That computes, as torch names it.
    """
    environment = describe_environment(device)
    with replacing(folder / ENVIRONMENT) as temporary:
        temporary.write_text(json.dumps(environment.as_dict(), indent=2), encoding="utf-8")
    tracked.log_tags(environment.as_tags())
    tracked.watch_system()


def log_inputs(plan: Plan, folder: Path, tracked: TrackedRun) -> None:
    """The recipe as parameters, and the data as dataset inputs, by content."""
    params = plan.recipe.model_dump(mode="json")
    # A schedule or a table is one parameter, not one for each of its entries.
    params["freeze"] = write_freeze(plan.recipe.freeze)
    params["auxiliary"]["gamma"] = write_gamma(plan.recipe.auxiliary.gamma)
    params["auxiliary"] |= {name: json.dumps(params["auxiliary"][name]) for name in TABLES}
    tracked.log_params(params)
    parts = data_of(plan)
    write_data(folder, parts)
    log_data(parts, tracked)


def log_data(parts: Sequence[DataPart], tracked: TrackedRun) -> None:
    """Data as inputs of the run, and as tags that tell at a glance whether they are the same.

    The tags `data.training`, `data.testing` and so on are equal in two runs where both used the
    same images with the same annotations.
    """
    digests = digests_by_context(parts)
    tracked.log_tags({f"data.{context}": digest for context, digest in digests.items()})
    for part in parts:
        tracked.log_dataset(
            part.dataset,
            part.digest,
            part.context,
            source=part.source,
            n_images=part.n_images,
            n_nuclei=part.n_nuclei,
        )


def log_outputs(result: RunResult, tracked: TrackedRun) -> None:
    """Figures of merit, pictures, files and the Detector.

    `test/f1` is of what the run itself trained; `test/f1_base` and so on of other columns.
    """
    for name, column in result.columns.items():
        values = _figures(column)
        if name != result.learned:
            values = {f"{key}_{name}": values[key] for key in OF_OTHERS if key in values}
        tracked.log_metrics({f"test/{key}": value for key, value in values.items()})
    for part in result.forgetting:
        where = f"held_out/{part.dataset}"
        tracked.log_metrics(
            {f"{where}/f1_before": part.before.f1, f"{where}/f1_after": part.after.f1}
        )
    pair = [] if result.plan.pair is None else [PAIR]
    of_images = [IMAGES] if result.columns else []
    for name in ("recipe.yaml", *pair, ENVIRONMENT, DATA, "metrics.json", "curves.csv", *of_images):
        tracked.log_artifact(result.folder / name)
    for name in ("figures", "overlays"):
        for file in sorted((result.folder / name).glob("*.png")):
            tracked.log_artifact(file, name)
    tracked.log_detector(result.folder / "detector.safetensors")


def _figures(column: Column) -> dict[str, float]:
    """By their names in MLflow; what cannot be told is left out."""
    scores = column.scores.as_dict()
    values = {key: scores.get(key) for key in METRICS}
    if column.segmentation is not None:
        whole = column.segmentation.as_dict()
        values |= {key: whole[key] for key in WHOLE_NUCLEI}
    return {key: value for key, value in values.items() if value is not None}
