"""One row of a study on one part of its data: trained and measured, and a record kept of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from parts import Part
from predictions import Predictions
from records import Records, versions

from studies import Row, Study
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.evaluation import (
    Evaluated,
    adopt,
    calibrate,
    evaluate,
    evaluate_segmentation,
    examine,
)
from transfer_kit.recipe import Recipe
from transfer_kit.start import start_detector, with_codec
from transfer_kit.training.train import train

WEIGHTS = "detector.safetensors"


def run(
    study: Study,
    row: Row,
    part: Part,
    folder: Path,
    records: Records,
    *,
    measure_again: bool = False,
    weights_needed: bool = False,
) -> dict[str, Any]:
    """Train and test, or read what came of it before; a killed training goes on.

    Args:
        folder: Of weights and checkpoints of all studies; each row and part has its own inside.
        records: Of what came of each training. What has one is not trained again.
        measure_again: Calibrate and test what was trained before once more, as the recipe says
            now, if its weights are at hand.
        weights_needed: Train again what has a record, but whose weights are not at hand.
    """
    own = folder / study.name / row.name / part.name
    before = records.result(study.name, row.name, part.name)
    at_hand = (own / WEIGHTS).is_file()
    again = before is not None and measure_again and at_hand
    if before is not None and not again and (at_hand or not weights_needed):
        return before
    recipe = study.recipe_of(row, part.seed)
    if row.decodes is not None:
        run(study, study.rows[row.decodes], part, folder, records, weights_needed=True)
    started, cpu = time.perf_counter(), time.process_time()
    if again:
        detector = _recalibrated(own / WEIGHTS, recipe, part)
    elif row.decodes is not None:
        base = folder / study.name / row.decodes / part.name / WEIGHTS
        detector = _recalibrated(base, recipe, part)
    else:
        detector = _trained(recipe, row, part, own)
    spent = before if again else {"seconds": 0.0, "cpu_seconds": 0.0}
    seconds = spent["seconds"] + time.perf_counter() - started
    cpu_seconds = spent["cpu_seconds"] + time.process_time() - cpu
    detector.save(own / WEIGHTS)
    pairs = examine(detector, part.test)
    result = {
        "study": study.name, "row": row.name, "part": part.name, "group": part.group,
        **_facts(recipe, detector), "seconds": seconds, "cpu_seconds": cpu_seconds,
        **_figures(pairs, detector.card.threshold, recipe),
    }  # fmt: skip
    records.write(result, Predictions.of(pairs, detector.card.classes))
    return result


def _facts(recipe: Recipe, detector: Detector) -> dict[str, Any]:
    """What the figures depend on, apart from the data."""
    return {
        "seed": recipe.seed,
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "parameters": sum(p.numel() for p in detector.network.parameters()),
        "steps": recipe.train.steps,
        "precision": recipe.train.precision,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def _trained(recipe: Recipe, row: Row, part: Part, own: Path) -> Detector:
    learning = list(part.train)
    if row.regions_alone:
        # Repeated, so that their share of the crops is as said however few they are.
        others = len(part.regions_alone) * (1 / row.regions_alone - 1)
        learning *= max(1, round(others / len(part.train)))
        learning += part.regions_alone
    detector = start_detector(recipe, None, part.datasets, learning)
    title = f"{row.name} {part.name}"
    return train(detector, learning, part.validation, recipe, folder=own, title=title).detector


def _recalibrated(weights: Path, recipe: Recipe, part: Part) -> Detector:
    """What was trained, decoded as `recipe` says and with a threshold of its own."""
    detector = with_codec(Detector.load(weights), recipe.codec)
    labelled = recipe.evaluation.threshold_from == "labelled"
    images: list[Sample] = [*(part.train if labelled else ()), *part.validation]
    adopt(detector, calibrate(detector, images, radius_um=recipe.evaluation.radius_um))
    return detector


def _figures(pairs: list[Evaluated], threshold: float, recipe: Recipe) -> dict[str, Any]:
    """Scores at the threshold of the validation images, and of whole nuclei where there are any."""
    scores = evaluate(pairs, radius_um=recipe.evaluation.radius_um, threshold=threshold)
    whole = evaluate_segmentation(pairs, threshold=threshold)
    return {
        "threshold": threshold,
        "detection": scores.as_dict(),
        "segmentation": None if whole is None else whole.as_dict(),
    }
