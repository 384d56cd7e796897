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
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.plan import make_plan, refuse_leak
from transfer_kit.recipe import Recipe
from transfer_kit.run import run_recipe
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.locations import shipped
from transfer_kit.stores.models import write_model
from transfer_kit.stores.recipes import find_recipe
from transfer_kit.stores.verification import measure
from transfer_kit.training.stain import record_stain

ELSEWHERE = (
    *(f"monuseg-{organ}" for organ in ("breast", "kidney", "liver", "prostate")),
    *(f"monuseg-{organ}" for organ in ("bladder", "colon", "stomach")),
    *("tnbc", "gbm40", "crchisto", "nucls"),
)
NARROW = ("segmitos-breast", "kinet-ki67")
"""Of tasks of their own (mitoses, brown nuclei): measured on their own organ alone."""


def measure_all(detector: Detector, recipe: Recipe) -> list[Measurement]:
    """The recipe's own test cases together and apart, then every other organ's."""
    own = recipe.target.split(" + ")
    others = [name for name in ELSEWHERE if name not in own and recipe.name not in NARROW]
    others += ["breast", "eye"] if recipe.name == "micronet-breast" else []  # what the demo shows
    parts = [recipe.target, *(own if len(own) > 1 else []), *others]
    return [measured for names in parts if (measured := _measure(detector, names, recipe))]


def _measure(detector: Detector, names: str, recipe: Recipe) -> Measurement | None:
    """None where a dataset is not here, or has no test cases that may be looked at."""
    try:
        refuse_leak(detector.card, [find_dataset(name) for name in names.split(" + ")])
        measured = measure(detector, names, radius_um=recipe.evaluation.radius_um)
    except UserError as error:
        print(f"{names}: left out ({error})", flush=True)
        return None
    aji = measured.in_words("aji")
    print(f"{names}: F1 {measured.in_words()}, AJI {aji}", flush=True)
    return measured


def training_samples(recipe: Recipe) -> list[Sample]:
    """What the recipe trains on."""
    names = recipe.target.split(" + ")
    return [sample for name in names for sample in find_dataset(name).split("train")]


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
    if detector.card.stain_reference is None:
        record_stain(detector.card, training_samples(recipe), recipe)
    # What ships is 16 bit: it is what must be measured.
    write_model(detector, options.name, shipped_folder, half=True)
    detector = Detector.load(shipped_folder / "detector.safetensors")
    detector.card.description = recipe.description
    detector.card.measured = measure_all(detector, recipe)
    write_model(detector, options.name, shipped_folder, half=True)
    print(f"written: {shipped_folder}")


if __name__ == "__main__":
    main()
