"""What `adapt` tells a person: the plan before, the table and the verdict after."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from transfer_kit.adaptation import AdaptationPlan
from transfer_kit.adaptation_run import AdaptationResult
from transfer_kit.cli.tell import FORGOTTEN
from transfer_kit.evaluation import Difference
from transfer_kit.report import column_titles, comparison_table
from transfer_kit.wording import counted

METHODS = {
    "batch_norm": "statistics of batch norms recomputed on the images; no weight moves",
    "stain": "images brought to {reference} by {method}; no weight moves",
    "self_training": "{steps} of {crops} of {side}² px, taught by a moving average of itself",
}


def tell_adaptation_plan(plan: AdaptationPlan, console: Console) -> None:
    """Base, images, what is done, and what it will be measured on."""
    recipe, base = plan.recipe, plan.adapted.card
    images = plan.images
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("base", f"{base.name} ({base.organ}, {base.mpp:g} µm/px)")
    cases = {(dataset.name, sample.case) for dataset in plan.unlabelled for sample in dataset}
    names = ", ".join(dataset.name for dataset in plan.unlabelled)
    table.add_row(
        "images",
        f"{names}: {counted(len(images), 'image')} of {counted(len(cases), 'case')}, annotations "
        "not read",
    )
    table.add_row("test", _tested(plan))
    table.add_row("adaptation", f"{recipe.adaptation.name}: {_method(plan)}")
    console.print(table)
    for note in plan.notes:
        console.print(f"[yellow]Note:[/] {note}.")


def _tested(plan: AdaptationPlan) -> str:
    if not plan.test:
        return "none"
    return f"{counted(len(plan.test), 'image')} that nothing is chosen on"


def _method(plan: AdaptationPlan) -> str:
    recipe, start = plan.recipe, plan.start.card
    train, reference = recipe.train, start.stain_reference
    return METHODS[recipe.adaptation.name].format(
        reference="" if reference is None else reference.name,
        method=start.normalise,
        steps=counted(train.steps, "step"),
        crops=counted(train.batch_size, "crop"),
        side=recipe.patches.size_px,
    )


def tell_adaptation(result: AdaptationResult, console: Console) -> None:
    """The table where there are labels to measure with, the verdict, and where everything lies."""
    if result.columns:
        titles = column_titles(has_base=True)
        radius_um = result.plan.recipe.evaluation.radius_um
        scores = {titles[name]: column.scores for name, column in result.columns.items()}
        whole = {titles[name]: column.segmentation for name, column in result.columns.items()}
        console.print(comparison_table(scores, radius_um, whole))
    for sentence in adaptation_verdicts(result):
        console.print(sentence, soft_wrap=True)
    console.print(f"Run folder: {result.folder}", soft_wrap=True)
    console.print(f"Detector:   {result.folder / 'detector.safetensors'}", soft_wrap=True)


def adaptation_verdicts(result: AdaptationResult) -> list[str]:
    """In plain words: did it help, and what was forgotten."""
    said = [_unmeasured(result) if result.gain is None else _gained(result.gain)]
    for part in result.forgetting:
        change = part.after.f1 - part.before.f1
        whose = "embedded stand-in for the base's cases" if part.stands_in else "base's held-out"
        said.append(
            f"{part.dataset} ({whose}): F1 {part.before.f1:.3f} before, {part.after.f1:.3f} after "
            f"({change:+.3f}{', forgotten in part' if change < FORGOTTEN else ''})."
        )
    return said


def _unmeasured(result: AdaptationResult) -> str:
    return (
        "Nothing could be measured without labels: whether it is better is not known. Label a few "
        f"images, or look at what 'transfer-kit predict IMAGES --model {result.folder} -o found' "
        "finds, and at the same with the base."
    )


def _gained(gain: Difference) -> str:
    interval = f"{gain.difference:+.3f} F1"
    if gain.low is not None and gain.high is not None:
        interval += f" (95 % interval {gain.low:+.3f} to {gain.high:+.3f})"
    if gain.difference <= 0:
        word = "worse" if gain.difference < 0 else "no better"
        return f"Adapting made it {word} than the base as it is: {interval}. Keep the base."
    if gain.low is None or gain.low <= 0:
        return (
            f"Adapting against the base as it is: {interval}; too few test cases to be sure that "
            "it helps."
        )
    return f"Adapting gained {interval} over the base as it is."
