"""What `finetune` tells a person: the plan before, the table and the verdict after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from transfer_kit.data.dataset import Dataset
from transfer_kit.evaluation import DetectionScores, Difference, SegmentationScores
from transfer_kit.evaluation.segmentation_difference import aji_difference
from transfer_kit.gamma_forms import write_gamma
from transfer_kit.report import column_titles, comparison_table, score_rows, whole_nuclei_rows
from transfer_kit.wording import counted

if TYPE_CHECKING:  # a table of figures needs nothing that trains
    from transfer_kit.plan import Plan
    from transfer_kit.run import Column, Forgetting, RunResult
    from transfer_kit.transfer.summary import BlockSummary

FORGOTTEN = -0.02
"""A loss of F1 or AJI on the base's own cases from which on it is said."""


def tell_plan(plan: Plan, console: Console, *, compare_scratch: bool) -> None:
    """Base, target, labels, blocks and what learns."""
    recipe = plan.recipe
    table = Table(show_header=False, box=None, pad_edge=False)
    base = plan.base.card if plan.base else None
    table.add_row("base", f"{base.name} ({base.organ}, {base.mpp:g} µm/px)" if base else "none")
    cases = {sample.case for sample in plan.train}
    table.add_row("target", ", ".join(_described(target) for target in plan.targets))
    table.add_row(
        "labels",
        f"{recipe.labels}: {counted(len(plan.train), 'training image')} of "
        f"{counted(len(cases), 'case')} with {counted(plan.n_train_nuclei, 'nucleus')}, "
        f"{counted(len(plan.validation), 'validation image')}",
    )
    if plan.auxiliary:
        table.add_row("auxiliary", _mixture(plan))
    table.add_row("test", f"{counted(len(plan.test), 'image')} that nothing is chosen on")
    frozen = [block.name for block in plan.blocks if block.frozen]
    learning = [block.name for block in plan.blocks if not block.frozen]
    table.add_row("frozen", _blocks(frozen) if frozen else "none")
    table.add_row("learning", f"{_blocks(learning)}, {counted(plan.trainable, 'parameter')}")
    train = recipe.train
    table.add_row(
        "training",
        f"{counted(train.steps, 'step')} of {counted(train.batch_size, 'crop')} of "
        f"{recipe.patches.size_px}² px" + (", and as many from scratch" if compare_scratch else ""),
    )
    console.print(table)
    console.print(blocks_table(plan.blocks))
    for note in plan.notes:
        console.print(f"[yellow]Note:[/] {note}.")


def _mixture(plan: Plan) -> str:
    """The auxiliary sources with their share of the crops, and γ."""
    settings, target = plan.recipe.auxiliary, 0.5
    weights = [source.weight for source in plan.auxiliary]
    if settings.sampling == "size":
        weights = [float(len(source.samples)) for source in plan.auxiliary]
        target = len(plan.train) / (len(plan.train) + sum(weights))
    parts = [
        f"{source.name} {counted(len(source.samples), 'image')} "
        f"({(1 - target) * weight / sum(weights):.0%} of the crops)"
        for source, weight in zip(plan.auxiliary, weights, strict=True)
    ]
    said = f"target {target:.0%} of the crops, γ {write_gamma(settings.gamma)}"
    return f"{', '.join(parts)}; {said}"


def blocks_table(blocks: Sequence[BlockSummary]) -> Table:
    """Each block: whether it learns, its parameters, those that do, and its learning rate."""
    table = Table("block", title="Blocks from input to output")
    for column in ("", "parameters", "of which learn", "highest learning rate"):
        table.add_column(column, justify="right" if column else "left")
    for block in blocks:
        rate = f"{block.learning_rate:.3g}" if block.learning_rate else ""
        figures = f"{block.parameters:,}", f"{block.learning:,}"
        table.add_row(block.name, _when(block), *figures, rate)
    return table


def _when(block: BlockSummary) -> str:
    """`frozen`, `learns`, or `frozen, learns from step 500 on`."""
    words = {True: "frozen", False: "learns"}
    later = (f"{words[frozen]} from step {step} on" for step, frozen in block.changes)
    return ", ".join([words[block.frozen], *later])


def _blocks(names: list[str]) -> str:
    return f"{counted(len(names), 'block')} ({', '.join(names)})"


def _described(target: Dataset) -> str:
    card = target.card
    synthetic = ", synthetic" if card.synthetic else ""
    return f"{card.name} ({card.organ}{synthetic}, {card.mpp:g} µm/px)"


def tell_result(result: RunResult, console: Console) -> None:
    """The table, what was gained and forgotten, and where everything lies."""
    radius_um = result.plan.recipe.evaluation.radius_um
    titles = column_titles(has_base=result.plan.base is not None)
    scores = {titles[name]: column.scores for name, column in result.columns.items()}
    whole = {titles[name]: column.segmentation for name, column in result.columns.items()}
    console.print(comparison_table(scores, radius_um, whole))
    for sentence in verdicts(result):
        console.print(sentence)
    console.print(f"Run folder: {result.folder}", soft_wrap=True)
    console.print(f"Detector:   {result.folder / 'detector.safetensors'}", soft_wrap=True)
    console.print("Curves and overlays of all runs: transfer-kit ui")


def scores_table(scores: DetectionScores, whole: SegmentationScores | None, title: str) -> Table:
    """The figures of one detector on one set of images."""
    table = Table(title=title, show_header=False)
    for name, said in (score_rows(scores) | whole_nuclei_rows(whole)).items():
        table.add_row(name, said)
    table.add_row(
        "images, cases, nuclei", f"{scores.n_images}, {scores.n_cases}, {scores.n_nuclei}"
    )
    table.add_row("matched within", f"{scores.radius_um:g} µm")
    return table


def verdicts(result: RunResult) -> list[str]:
    """In plain words: did fine-tuning pay, and what was forgotten.

    Of F1, and of AJI too where whole nuclei are annotated and both detectors find them.
    """
    said = [] if result.gain is None else [_gained(result.gain), *_outlined(result)]
    said += _beaten_by(result)
    return said + [_forgotten(part) for part in result.forgetting]


def _forgotten(part: Forgetting) -> str:
    whose = "embedded stand-in for the base's cases" if part.stands_in else "base's held-out"
    told = [_before_and_after("F1", part.before.f1, part.after.f1)]
    before, after = (
        None if whole is None else whole.aji for whole in (part.whole_before, part.whole_after)
    )
    if before is not None and after is not None:
        told.append(_before_and_after("AJI", before, after))
    return f"{part.dataset} ({whose}): {'; '.join(told)}."


def _before_and_after(figure: str, before: float, after: float) -> str:
    change = after - before
    return (
        f"{figure} {before:.3f} before, {after:.3f} after "
        f"({change:+.3f}{', forgotten in part' if change < FORGOTTEN else ''})"
    )


def _beaten_by(result: RunResult) -> list[str]:
    """What, other than the recalibrated base, is ahead of the fine-tuned detector, and in what."""
    if result.plan.base is None:
        return []
    words = {
        "base": "The base as it is, with its own threshold, is ahead of the fine-tuned detector",
        "scratch": "Training from scratch with equal steps did better than fine-tuning",
    }
    tuned = _figures(result.columns["finetuned"])
    said = []
    for name, sentence in words.items():
        other = _figures(result.columns[name]) if name in result.columns else {}
        ahead = [
            f"{figure} {other[figure]:.3f} against {value:.3f}"
            for figure, value in tuned.items()
            if figure in other and other[figure] > value
        ]
        if ahead:
            said.append(f"{sentence}: {', '.join(ahead)}.")
    return said


def _figures(column: Column) -> dict[str, float]:
    whole = column.segmentation
    aji = {} if whole is None or whole.aji is None else {"AJI": whole.aji}
    return {"F1": column.scores.f1, **aji}


def _outlined(result: RunResult) -> list[str]:
    """What fine-tuning gained in AJI; nothing where it cannot be compared."""
    tuned, base = (
        result.columns[name].segmentation if name in result.columns else None
        for name in ("finetuned", "base_recalibrated")
    )
    gain = None if tuned is None or base is None else aji_difference(tuned, base)
    if gain is None:
        return []
    interval = _with_interval(gain, "AJI")
    if gain.difference <= 0:
        word = "worse" if gain.difference < 0 else "no better"
        return [f"Whole nuclei are outlined {word} than by the recalibrated base: {interval}."]
    sure = gain.low is not None and gain.low > 0
    doubt = "" if sure else "; too few test cases to be sure of it"
    return [f"Whole nuclei are outlined better than by the recalibrated base: {interval}{doubt}."]


def _with_interval(difference: Difference, figure: str) -> str:
    said = f"{difference.difference:+.3f} {figure}"
    if difference.low is not None and difference.high is not None:
        said += f" (95 % interval {difference.low:+.3f} to {difference.high:+.3f})"
    return said


def _gained(gain: Difference) -> str:
    interval = _with_interval(gain, "F1")
    if gain.difference <= 0:
        word = "worse" if gain.difference < 0 else "no better"
        return (
            f"Fine-tuning made it {word} than recalibrating the base alone: {interval}. "
            "Keep the recalibrated base, or label more images."
        )
    if gain.low is None or gain.low <= 0:
        return (
            f"Fine-tuning against the recalibrated base: {interval}; "
            "too few test cases to be sure that it helps."
        )
    return f"Fine-tuning gained {interval} over the recalibrated base."
