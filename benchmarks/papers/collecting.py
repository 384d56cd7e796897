"""Records of trainings whose results still lie beside their weights.

Trainings wrote `result.json` and `predictions.npz` (all candidates) into their own folders before
there were records.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from predictions import Predictions
from records import Records, versions

from studies import studies
from transfer_kit.detector import Detector


def collect(folder: Path, records: Records) -> list[str]:
    """A record of every training below `folder` that has none yet; their names.

    The packages here are taken to be those that trained.
    """
    new = []
    for path in sorted(folder.glob("*/*/*/result.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        study, row, part = (result[name] for name in ("study", "row", "part"))
        if study not in studies() or row not in studies()[study].rows:
            print(f"{path}: {study}/{row} is in no study and is left out.")
        elif records.result(study, row, part) is None:
            _collect_one(path.parent, result, records)
            new.append(f"{study}/{row}/{part}")
    return new


def _collect_one(own: Path, result: dict[str, Any], records: Records) -> None:
    card = Detector.load(own / "detector.safetensors").card
    study = studies()[result["study"]]
    recipe = study.recipe_of(study.rows[result["row"]], result["seed"])
    train = {**recipe.train.model_dump(), **result["recipe"].get("train", {})}
    facts = {"steps": train["steps"], "precision": train["precision"], "versions": versions()}
    records.write({**result, **facts}, _all_candidates(own, card.classes))


def _all_candidates(own: Path, classes: tuple[str, ...]) -> Predictions:
    with np.load(own / "predictions.npz", allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    numbers = np.array([classes.index(str(name)) for name in stored["names"]], np.uint8)
    return Predictions(
        tuple(str(name) for name in stored["images"]),
        classes,
        stored["image"],
        stored["points"],
        stored["scores"],
        numbers[stored["classes"]],
    )
