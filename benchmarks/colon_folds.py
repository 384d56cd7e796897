"""Five-fold cross-validation by image on CRCHistoPhenotypes, beside VOCA's published figures.

    python benchmarks/colon_folds.py --fold 0     # one fold; run folds in any order, or at once
    python benchmarks/colon_folds.py --summary    # the table of the folds that are there

Each fold trains on 40 images (of which 6 choose the threshold and the round) and is tested on the
other 10. Matching within 6 px at 20x, as in VOCA (paper 000). A fold that was killed goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from transfer_kit.data.dataset import Dataset
from transfer_kit.evaluation import Evaluated, evaluate, examine
from transfer_kit.files import replacing
from transfer_kit.plan import start_detector
from transfer_kit.recipe import Recipe
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.recipes import find_recipe
from transfer_kit.training.train import train

FOLDS, SEED, VALIDATION_IMAGES = 5, 0, 6
RADIUS_PX, MPP = 6, 0.55
VOCA = {"f1": 0.847, "precision": 0.831, "recall": 0.863, "distance_median_px": 2.0}


def run_fold(number: int, recipe: Recipe, folder: Path) -> None:
    dataset = find_dataset("crchisto")
    fold = dataset.folds(FOLDS, SEED, by="image")[number]
    rest: Dataset = fold.train
    validation = list(rest.subset(VALIDATION_IMAGES, SEED))
    held = {sample.id for sample in validation}
    learning = [sample for sample in rest if sample.id not in held]
    started, cpu = time.perf_counter(), time.process_time()
    detector = start_detector(recipe, None, [dataset], learning)
    trained = train(
        detector, learning, validation, recipe, folder=folder / f"fold{number}", title=f"fold {number}"
    )
    examined = examine(trained.detector, fold.test)
    scores = evaluate(
        examined, radius_um=RADIUS_PX * MPP, threshold=trained.detector.card.threshold
    )
    trained.detector.save(folder / f"fold{number}" / "detector.safetensors")
    document = {
        "fold": number,
        "recipe": recipe.name,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "threads": torch.get_num_threads(),
        "test_images": [pair.id for pair in examined],
        **scores.as_dict(),
    }
    with replacing(folder / f"fold{number}.json") as temporary:
        temporary.write_text(json.dumps(document, indent=1))
    print(json.dumps(document))


def pooled(folder: Path, recipe: Recipe) -> None:
    """All folds together: every image tested once, by a detector that never saw it."""
    from transfer_kit.detector import Detector

    dataset = find_dataset("crchisto")
    pairs: list[tuple[Evaluated, float]] = []
    for number, fold in enumerate(dataset.folds(FOLDS, SEED, by="image")):
        weights = folder / f"fold{number}" / "detector.safetensors"
        if weights.is_file():
            detector = Detector.load(weights)
            pairs += [(pair, detector.card.threshold) for pair in examine(detector, fold.test)]
    chosen = [
        Evaluated(
            id=p.id, case=p.case, mpp=p.mpp, size=p.size, truth=p.truth, found=p.found.above(t)
        )
        for p, t in pairs
    ]
    scores = evaluate(chosen, radius_um=RADIUS_PX * MPP, threshold=0.0).as_dict()
    print(
        f"{recipe.name}: {len(chosen)} images, F1 {scores['f1']:.4f} "
        f"({scores['f1_low']:.4f} to {scores['f1_high']:.4f}), precision {scores['precision']:.4f}, "
        f"recall {scores['recall']:.4f}, median {scores['distance_median'] / MPP:.2f} px "
        f"| VOCA (paper 000): F1 {VOCA['f1']}, precision {VOCA['precision']}, "
        f"recall {VOCA['recall']}, median {VOCA['distance_median_px']} px"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, choices=range(FOLDS))
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--recipe", default="everyday/colon")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(".work/colon"))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = Recipe.read(find_recipe(options.recipe), target="crchisto", base="none")
    if options.summary:
        pooled(options.folder, recipe)
        return
    for number in range(FOLDS) if options.fold is None else [options.fold]:
        if not (options.folder / f"fold{number}.json").is_file():
            run_fold(number, recipe, options.folder)


if __name__ == "__main__":
    main()
