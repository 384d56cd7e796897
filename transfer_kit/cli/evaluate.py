"""`transfer-kit evaluate`: a detector measured on annotated images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from transfer_kit.evaluation import RecallScores


def evaluate(
    model: Annotated[str, typer.Option(help="A model name, an organ, a file or a run folder.")],
    target: Annotated[str, typer.Option(help="An organ, a dataset or a folder.")],
    split: Annotated[str, typer.Option(help="train, validation, test or all.")] = "test",
    radius_um: Annotated[
        float | None, typer.Option(min=0.01, help="Matching radius; the detector's by default.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="In place of the detector's own.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write figures and overlays here.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
) -> None:
    """Measure a detector: precision, recall, F1 with its interval, and distances.

    Where nuclei are annotated and found whole, AJI, panoptic quality and Dice too; where only some
    nuclei are marked, recall alone.
    """
    from rich.console import Console

    from transfer_kit.cli.tell import scores_table
    from transfer_kit.detector import Detector
    from transfer_kit.evaluation import evaluate as score
    from transfer_kit.evaluation import (
        evaluate_segmentation,
        examine,
        examine_marked,
        recall_of_marked,
    )
    from transfer_kit.plan import cases_learned
    from transfer_kit.report import write_figures, write_overlays
    from transfer_kit.stores.datasets import find_dataset
    from transfer_kit.stores.models import find_weights
    from transfer_kit.wording import counted

    dataset = find_dataset(target)
    part = dataset if split == "all" else dataset.split(split)
    samples = list(part)
    detector = Detector.load(find_weights(model)).to(device)
    radius = radius_um or detector.card.radius_um
    chosen = detector.card.threshold if threshold is None else threshold
    learned = cases_learned(detector.card, part)
    document = {
        "model": detector.card.name,
        "target": dataset.card.name,
        "split": split,
        "cases_learned_from": learned,
    }
    examined = examine(detector, samples)
    if not examined and (marked := examine_marked(detector, samples)):
        recall = recall_of_marked(marked, radius_um=radius, threshold=chosen)
        print(json.dumps(document | recall.as_dict()) if as_json else _in_words(recall))
        return
    scores = score(examined, radius_um=radius, threshold=chosen)
    whole = evaluate_segmentation(examined, threshold=chosen)
    if output is not None:
        columns = {detector.card.name: (examined, chosen)}
        write_figures(output, columns, {}, radius_um=radius)
        write_overlays(output / "overlays", samples, columns, radius_um=radius)
    if as_json:
        figures = {**scores.as_dict(), "segmentation": whole and whole.as_dict()}
        print(json.dumps(document | figures))
        return
    console = Console()
    table = scores_table(scores, whole, f"{detector.card.name} on {dataset.card.name} ({split})")
    console.print(table)
    if learned:
        console.print(
            f"[yellow]Note:[/] the detector learned from {len(learned)} of the "
            f"{counted(scores.n_cases, 'case')}; on them it looks better than it is."
        )
    if output is not None:
        console.print(f"Figures and overlays: {output}", soft_wrap=True)


def _in_words(scores: RecallScores) -> str:
    from transfer_kit.wording import counted

    images, cases = counted(scores.n_images, "image"), counted(scores.n_cases, "case")
    ends = (scores.recall_low, scores.recall_high)
    interval = "" if None in ends else f" (95 % interval {ends[0]:.3f} to {ends[1]:.3f})"
    return (
        f"recall {scores.recall:.3f}{interval}: {scores.n_true} of "
        f"{scores.n_true + scores.n_missed} marked nuclei found within {scores.radius_um:g} µm, "
        f"among {counted(scores.n_detections, 'detection')} in {images} of {cases}.\n"
        "Only some nuclei are marked, so that precision and F1 cannot be told."
    )
