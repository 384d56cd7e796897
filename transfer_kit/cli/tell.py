"""What `finetune` tells a person: the plan before, the table and the verdict after."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from transfer_kit.plan import Plan
from transfer_kit.report import comparison_table
from transfer_kit.run import RunResult


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
        f"{recipe.labels}: {len(plan.train)} training images of {len(cases)} cases with "
        f"{plan.n_train_nuclei} nuclei, {len(plan.validation)} validation images",
    )
    table.add_row("test", f"{len(plan.test)} images that nothing is chosen on")
    frozen = [block.name for block in plan.blocks if block.frozen]
    learning = [block.name for block in plan.blocks if not block.frozen]
    table.add_row("frozen", f"{len(frozen)} blocks ({', '.join(frozen)})" if frozen else "none")
    table.add_row(
        "learning", f"{len(learning)} blocks ({', '.join(learning)}), {plan.trainable:,} parameters"
    )
    train = recipe.train
    table.add_row(
        "training",
        f"{train.steps} steps of {train.batch_size} crops of {recipe.patches.size_px}² px"
        + (", and as many from scratch" if compare_scratch else ""),
    )
    console.print(table)
    for note in plan.notes:
        console.print(f"[yellow]Note:[/] {note}.")


def _described(target: object) -> str:
    card = target.card  # type: ignore[attr-defined]
    synthetic = ", synthetic" if card.synthetic else ""
    return f"{card.name} ({card.organ}{synthetic}, {card.mpp:g} µm/px)"


def tell_result(result: RunResult, console: Console) -> None:
    """The table, what was gained and forgotten, and where everything lies."""
    radius_um = result.plan.recipe.evaluation.radius_um
    scores = {name: column.scores for name, column in result.columns.items()}
    console.print(comparison_table(scores, radius_um))
    for sentence in verdicts(result):
        console.print(sentence)
    console.print(f"Run folder: {result.folder}", soft_wrap=True)
    console.print(f"Detector:   {result.folder / 'detector.safetensors'}", soft_wrap=True)
    console.print("Curves and overlays of all runs: transfer-kit ui")


def verdicts(result: RunResult) -> list[str]:
    """In plain words: did fine-tuning pay, and what was forgotten."""
    said = []
    if result.gain is not None:
        gain = result.gain
        interval = f"{gain.value:+.3f} F1 (95 % interval {gain.low:+.3f} to {gain.high:+.3f})"
        if gain.value <= 0:
            said.append(
                f"Fine-tuning made it worse than recalibrating the base alone: {interval}. "
                "Keep the recalibrated base, or label more images."
            )
        elif gain.low <= 0:
            said.append(
                f"Fine-tuning against the recalibrated base: {interval}; "
                "too few test cases to be sure that it helps."
            )
        else:
            said.append(f"Fine-tuning gained {interval} over the recalibrated base.")
    for part in result.forgetting:
        change = part.after.f1 - part.before.f1
        whose = "embedded stand-in for the base's cases" if part.stands_in else "base's held-out"
        said.append(
            f"{part.dataset} ({whose}): F1 {part.before.f1:.3f} before, {part.after.f1:.3f} after "
            f"({change:+.3f}{', forgotten in part' if change < -0.02 else ''})."
        )
    return said
