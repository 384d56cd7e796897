"""Five-fold cross-validation by image on CRCHistoPhenotypes, beside VOCA's published figures.

    python benchmarks/colon_folds.py --fold 0     # one fold; run folds in any order, or at once
    python benchmarks/colon_folds.py --summary docs/results/colon-proximity.md    # of what ran
    python benchmarks/colon_folds.py --recipe everyday/peak-regression --folder .work/peaks …

Each fold trains on 34 images; 6 more choose the round, and all 40 the threshold. The other 10 test
it. Matching within 6 px at 20x, as in VOCA (paper 000). A fold that was killed goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from transfer_kit.detector import Detector
from transfer_kit.evaluation import DetectionScores, Evaluated, evaluate, examine
from transfer_kit.files import replacing
from transfer_kit.plan import start_detector
from transfer_kit.recipe import Recipe
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.recipes import find_recipe
from transfer_kit.training.train import train

FOLDS, SEED, VALIDATION_IMAGES = 5, 0, 6
VOCA = "two folds | 100 / 29747 | 0.847 | | 0.831 | 0.863 | 2.00 (1.41 to 2.24) |"


def run_fold(number: int, recipe: Recipe, folder: Path) -> None:
    dataset = find_dataset("crchisto")
    fold = dataset.folds(FOLDS, SEED, by="image")[number]
    validation = list(fold.train.subset(VALIDATION_IMAGES, SEED))
    held = {sample.id for sample in validation}
    learning = [sample for sample in fold.train if sample.id not in held]
    own = folder / f"fold{number}"
    started, cpu = time.perf_counter(), time.process_time()
    detector = start_detector(recipe, None, [dataset], learning)
    trained = train(detector, learning, validation, recipe, folder=own, title=own.name)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    trained.detector.save(own / "detector.safetensors")
    scores = evaluate(
        examine(trained.detector, fold.test),
        radius_um=recipe.evaluation.radius_um,
        threshold=trained.detector.card.threshold,
    )
    document = {
        "fold": number,
        "recipe": recipe.name,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "threads": torch.get_num_threads(),
        "test_images": sorted(sample.id for sample in fold.test),
        **scores.as_dict(),
    }
    with replacing(folder / f"fold{number}.json") as temporary:
        temporary.write_text(json.dumps(document, indent=1))
    print(json.dumps(document))


def pooled(folder: Path, recipe: Recipe) -> DetectionScores:
    """All folds together: every image tested once, by a detector that never saw it."""
    pairs: list[tuple[Evaluated, float]] = []
    for number, fold in enumerate(find_dataset("crchisto").folds(FOLDS, SEED, by="image")):
        weights = folder / f"fold{number}" / "detector.safetensors"
        if weights.is_file():
            detector = Detector.load(weights)
            pairs += [(pair, detector.card.threshold) for pair in examine(detector, fold.test)]
    chosen = [replace(pair, found=pair.found.above(threshold)) for pair, threshold in pairs]
    return evaluate(chosen, radius_um=recipe.evaluation.radius_um, threshold=0.0)


def summarise(folder: Path, recipe: Recipe, output: Path) -> None:
    """A Markdown table: each fold, all folds pooled, and VOCA as published."""
    folds = [json.loads(path.read_text()) for path in sorted(folder.glob("fold?.json"))]
    ours = pooled(folder, recipe).as_dict()
    lines = [
        "| | images / nuclei | F1 | 95 % interval | precision | recall "
        "| distance in px: median (quartiles) | CPU minutes |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(f"fold {fold['fold']}", fold, f"{fold['cpu_seconds'] / 60:.1f}") for fold in folds),
        _row("**all, pooled**", ours, ""),
        f"| VOCA, {VOCA} |",
    ]
    with replacing(output) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _row(name: str, scores: dict[str, Any], minutes: str) -> str:
    median, q1, q3 = (scores[f"distance_{quartile}_px"] for quartile in ("median", "q1", "q3"))
    return (
        f"| {name} | {scores['n_images']} / {scores['n_nuclei']} | {scores['f1']:.3f} | "
        f"{scores['f1_low']:.3f} to {scores['f1_high']:.3f} | {scores['precision']:.3f} | "
        f"{scores['recall']:.3f} | {median:.2f} ({q1:.2f} to {q3:.2f}) | {minutes} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, choices=range(FOLDS))
    parser.add_argument("--summary", type=Path)
    parser.add_argument("--recipe", default="everyday/colon")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(".work/colon"))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = Recipe.read(find_recipe(options.recipe), target="crchisto", base="none")
    if options.summary:
        summarise(options.folder, recipe, options.summary)
        return
    for number in range(FOLDS) if options.fold is None else [options.fold]:
        if not (options.folder / f"fold{number}.json").is_file():
            run_fold(number, recipe, options.folder)


if __name__ == "__main__":
    main()
