"""A detector over samples: what it found beside what is true."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.evaluation.detection import Evaluated


def examine(detector: Detector, samples: Iterable[Sample]) -> list[Evaluated]:
    """All candidates of `detector` in each sample, unfiltered, with the sample's truth.

    Classes are left out where the detector knows none, so that a detector of one class can be
    measured on data with many.
    """
    return [_examine_one(detector, sample) for sample in samples]


def _examine_one(detector: Detector, sample: Sample) -> Evaluated:
    image = sample.image()
    truth = sample.annotation()
    if detector.card.classes == ("",):
        truth = replace(truth, classes=("",) * len(truth))
    return Evaluated(
        id=sample.id,
        case=sample.case,
        mpp=sample.mpp,
        size=(image.shape[0], image.shape[1]),
        truth=truth,
        found=detector.candidates(image, sample.mpp),
    )
