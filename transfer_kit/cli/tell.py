"""What `finetune` tells a person: the plan before, the table and the verdict after."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from transfer_kit.data.dataset import Dataset
from transfer_kit.evaluation import DetectionScores, Difference, SegmentationScores
from transfer_kit.plan import Plan
from transfer_kit.report import column_titles, comparison_table, score_rows, whole_nuclei_rows
from transfer_kit.run import RunResult
from transfer_kit.transfer.summary import BlockSummary
from transfer_kit.wording import counted

FORGOTTEN = -0.02
"""A loss of F1 on the base's own cases from which on it is said."""


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
    """In plain words: did fine-tuning pay, and what was forgotten."""
    said = [] if result.gain is None else [_gained(result.gain)]
    said += _beaten_by(result)
    for part in result.forgetting:
        change = part.after.f1 - part.before.f1
        whose = "embedded stand-in for the base's cases" if part.stands_in else "base's held-out"
        said.append(
            f"{part.dataset} ({whose}): F1 {part.before.f1:.3f} before, {part.after.f1:.3f} after "
            f"({change:+.3f}{', forgotten in part' if change < FORGOTTEN else ''})."
        )
    return said


def _beaten_by(result: RunResult) -> list[str]:
    """What, other than the recalibrated base, is ahead of the fine-tuned detector."""
    f1 = {name: column.scores.f1 for name, column in result.columns.items()}
    words = {
        "base": "The base as it is, with its own threshold, is ahead of the fine-tuned detector",
        "scratch": "Training from scratch with equal steps did better than fine-tuning",
    }
    return [
        f"{sentence}: F1 {f1[name]:.3f} against {f1['finetuned']:.3f}."
        for name, sentence in words.items()
        if result.plan.base is not None and f1.get(name, 0.0) > f1["finetuned"]
    ]


def _gained(gain: Difference) -> str:
    interval = f"{gain.difference:+.3f} F1"
    if gain.low is not None and gain.high is not None:
        interval += f" (95 % interval {gain.low:+.3f} to {gain.high:+.3f})"
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
