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
        radius_um=RADIUS_PX * MPP,
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
    ours = evaluate(chosen, radius_um=RADIUS_PX * MPP, threshold=0.0)
    low, high = ours.f1_low or ours.f1, ours.f1_high or ours.f1
    print(
        f"{recipe.name}: {len(chosen)} images, F1 {ours.f1:.4f} ({low:.4f} to {high:.4f}), "
        f"precision {ours.precision:.4f}, recall {ours.recall:.4f}, "
        f"median {ours.distance_median_px or 0:.2f} px\n"
        f"VOCA (paper 000): F1 {VOCA['f1']}, precision {VOCA['precision']}, "
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
