"""Images of scattered nuclei with detections that are jittered, missing or made up."""

from __future__ import annotations

import numpy as np
import shapely

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation.counting import Evaluated


def found_at(points, scores=None, classes=None) -> Nuclei:
    """Detections, highest score first."""
    points = np.reshape(np.asarray(points, np.float32), (-1, 2))
    scores = np.full(len(points), 0.9) if scores is None else np.asarray(scores)
    classes = ("",) * len(points) if classes is None else tuple(classes)
    nuclei = Nuclei(points, scores, classes)
    return nuclei.take(np.argsort(-nuclei.scores, kind="stable"))


def evaluated(truth, found, *, case="case", mpp=0.5, size=(200, 200)) -> Evaluated:
    """An `Evaluated` of an annotation or bare points."""
    if not isinstance(truth, Annotation):
        truth = Annotation.of_points(truth)
    return Evaluated(f"image of {case}", case, mpp, size, truth, found)


def scattered(seed, *, count=60, case=None, side=200, region=None, levels=20) -> Evaluated:
    """A random image; scores are rounded to `levels`, so that some are alike."""
    random = np.random.default_rng(seed)
    truth = (random.random((count, 2)) * side).astype(np.float32)
    hit = random.random(count) < 0.85
    true = truth[hit] + random.normal(0, 3, (hit.sum(), 2))
    false = random.random((count // 2, 2)) * side
    scores = np.concatenate([random.beta(5, 2, len(true)), random.beta(2, 4, len(false))])
    found = found_at(np.concatenate([true, false]), np.round(scores * levels) / levels)
    regions = () if region is None else (shapely.box(*region),)
    annotation = Annotation(truth, ("",) * count, labelled_regions=regions)
    return evaluated(annotation, found, case=case or f"case {seed}", size=(side, side))
