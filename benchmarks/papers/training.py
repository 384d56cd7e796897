"""One row of a study on one part of its data: trained, measured, and kept in a folder."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from parts import Part
from predictions import write_predictions

from studies import Row, Study
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.evaluation import adopt, calibrate, evaluate, evaluate_segmentation, examine
from transfer_kit.files import replacing
from transfer_kit.recipe import Recipe
from transfer_kit.start import start_detector, with_codec
from transfer_kit.training.train import train

RESULT, WEIGHTS = "result.json", "detector.safetensors"


def run(
    study: Study, row: Row, part: Part, folder: Path, *, measure_again: bool = False
) -> dict[str, Any]:
    """Train and test, or read what came of it before; a killed training goes on.

    Args:
        folder: Of all studies; each row and part has its own inside.
        measure_again: Calibrate and test what was trained before once more, as the recipe says now.
    """
    own = folder / study.name / row.name / part.name
    before: dict[str, Any] = {"seconds": 0.0, "cpu_seconds": 0.0}
    if (own / RESULT).is_file():
        before = json.loads((own / RESULT).read_text())
        if not measure_again:
            return before
    recipe = study.recipe_of(row, part.seed)
    started, cpu = time.perf_counter(), time.process_time()
    if row.decodes is None:
        detector = _trained(recipe, row, part, own)
    else:
        run(study, study.rows[row.decodes], part, folder)
        base = Detector.load(folder / study.name / row.decodes / part.name / WEIGHTS)
        detector = with_codec(base, recipe.codec)
        labelled = recipe.evaluation.threshold_from == "labelled"
        images = [*(part.train if labelled else ()), *part.validation]
        adopt(detector, calibrate(detector, images, radius_um=_radius(recipe)))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    detector.save(own / WEIGHTS)
    result = {
        "study": study.name, "row": row.name, "part": part.name, "group": part.group,
        "seed": part.seed, "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "parameters": sum(p.numel() for p in detector.network.parameters()),
        "seconds": seconds + before["seconds"],
        "cpu_seconds": cpu_seconds + before["cpu_seconds"], "threads": torch.get_num_threads(),
        **_measured(detector, part.test, recipe, own),
    }  # fmt: skip
    with replacing(own / RESULT) as temporary:
        temporary.write_text(json.dumps(result, indent=1))
    return result


def _trained(recipe: Recipe, row: Row, part: Part, own: Path) -> Detector:
    learning = list(part.train)
    if row.regions_alone:
        # Of half of the crops the nuclei are known, however few the images with nuclei are.
        learning *= max(1, round(len(part.regions_alone) / len(part.train)))
        learning += part.regions_alone
    detector = start_detector(recipe, None, part.datasets, learning)
    title = f"{row.name} {part.name}"
    return train(detector, learning, part.validation, recipe, folder=own, title=title).detector


def _measured(
    detector: Detector, test: tuple[Sample, ...], recipe: Recipe, own: Path
) -> dict[str, Any]:
    """Scores at the threshold of the validation images, and of whole nuclei where there are any.

    Candidates go into a file, so that folds can be pooled and curves drawn later.
    """
    pairs = examine(detector, test)
    write_predictions(own, pairs)
    threshold = detector.card.threshold
    scores = evaluate(pairs, radius_um=_radius(recipe), threshold=threshold)
    whole = evaluate_segmentation(pairs, threshold=threshold)
    return {
        "threshold": threshold,
        "detection": scores.as_dict(),
        "segmentation": None if whole is None else whole.as_dict(),
    }


def _radius(recipe: Recipe) -> float:
    return recipe.evaluation.radius_um
