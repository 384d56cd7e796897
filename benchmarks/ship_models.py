"""Train the shipped detectors by their recipes, measure them on every organ at hand, write them.

    python benchmarks/ship_models.py micronet-breast                 # train, then measure and write
    python benchmarks/ship_models.py micronet-breast --run FOLDER    # only measure and write a run

Needs TRANSFER_KIT_DATA. The F1 on the recipe's own test cases comes first in the card; the other
organs follow, all with the threshold that was chosen on the recipe's validation cases.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from transfer_kit.card import Measurement
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import evaluate, examine
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.run import run_recipe
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.locations import shipped
from transfer_kit.stores.models import write_model
from transfer_kit.stores.recipes import find_recipe

ELSEWHERE = (
    "monuseg-kidney",
    "monuseg-liver",
    "monuseg-prostate",
    "monuseg-bladder",
    "monuseg-colon",
    "monuseg-stomach",
    "gbm40",
    "crchisto",
    "nucls",
    "breast",
    "eye",
    "colon",
    "kidney",
    "liver",
    "brain",
)


def measure(detector: Detector, recipe: Recipe) -> list[Measurement]:
    """The recipe's own test cases together and apart, then every other organ's."""
    own = recipe.target.split(" + ")
    parts = [recipe.target, *(own if len(own) > 1 else []), *ELSEWHERE]
    return [
        measured for names in parts if (measured := _measure(detector, names, recipe)) is not None
    ]


def _measure(detector: Detector, names: str, recipe: Recipe) -> Measurement | None:
    datasets = [find_dataset(name) for name in names.split(" + ")]
    try:
        samples = [sample for dataset in datasets for sample in dataset.split("test")]
    except UserError:
        return None
    scores = evaluate(
        examine(detector, samples),
        radius_um=recipe.evaluation.radius_um,
        threshold=detector.card.threshold,
    )
    print(f"{names}: F1 {scores.f1:.3f} on {scores.n_images} images", flush=True)
    return Measurement(
        dataset=names, organ=datasets[0].card.organ, split="test", scores=scores.as_dict()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--run", type=Path)
    options = parser.parse_args()
    recipe = Recipe.read(find_recipe(f"models/{options.name}"))
    folder = options.run or Path(".work/models") / options.name
    if not (folder / "detector.safetensors").is_file():
        run_recipe(make_plan(recipe), folder)
    shipped_folder = shipped("models") / options.name
    detector = Detector.load(folder / "detector.safetensors")
    # What ships is 16 bit: it is what must be measured.
    write_model(detector, options.name, shipped_folder, half=True)
    detector = Detector.load(shipped_folder / "detector.safetensors")
    detector.card.description = recipe.description
    detector.card.measured = measure(detector, recipe)
    write_model(detector, options.name, shipped_folder, half=True)
    print(f"written: {shipped_folder}")


if __name__ == "__main__":
    main()
