"""How much better one detector outlines whole nuclei than another on the same images."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from transfer_kit.errors import UserError
from transfer_kit.evaluation.segmentation import SegmentationScores
from transfer_kit.evaluation.statistics import Difference, bootstrap_mean


def aji_difference(
    first: SegmentationScores, second: SegmentationScores, *, seed: int = 0
) -> Difference | None:
    """Mean AJI of `first` less that of `second`, with a 95 % interval over their common cases.

    The mean is over the images that have a nucleus, or where either detector found one. Each
    resample draws the same cases for both.

    Args:
        first: Scores of the detector that ought to be better.
        second: Scores of the other on the same images.
        seed: Of the bootstrap.

    Returns:
        The difference; None where no image has a nucleus or a detection.

    Raises:
        UserError: the two were scored on unlike images.
    """
    others = {image.id: image for image in second.images}
    unlike = sorted({image.id for image in first.images} ^ others.keys())
    if unlike:
        raise UserError(
            f"Two detectors are compared on the same images, but {unlike[0]!r} was scored with "
            "only one of them; score both on one test set."
        )
    by_case: dict[str, list[float]] = defaultdict(list)
    for image in first.images:
        other = others[image.id]
        if image.n_nuclei or image.n_found or other.n_found:
            by_case[image.case].append(image.aji - other.aji)
    if not by_case:
        return None
    differences = [value for values in by_case.values() for value in values]
    low, high = bootstrap_mean(list(by_case.values()), seed=seed)
    return Difference(float(np.mean(differences)), low, high, len(by_case))
