"""A detector over samples: what it found beside what is true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from transfer_kit.codecs import Codec
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.evaluation.detection import Evaluated


def examine(detector: Detector, samples: Iterable[Sample]) -> list[Evaluated]:
    """All candidates of `detector` in each sample, unfiltered, with the sample's truth.

    Classes are left out where the detector knows none, so that a detector of one class can be
    measured on data with many. Samples with region labels alone are passed over: nothing tells
    which of their detections are true.
    """
    return [
        _examine_one(detector, sample) for sample in samples if sample.annotation().knows_nuclei
    ]


def examine_by(detector: Detector, sample: Sample, codecs: Sequence[Codec]) -> Iterator[Evaluated]:
    """One sample by each of several codecs that decode the same maps, which are computed once."""
    image, truth = sample.image(), _known_truth(detector, sample)
    for found in detector.candidates_by(codecs, image, sample.mpp):
        yield _evaluated(sample, image.shape, truth, found)


def _examine_one(detector: Detector, sample: Sample) -> Evaluated:
    image, truth = sample.image(), _known_truth(detector, sample)
    return _evaluated(sample, image.shape, truth, detector.candidates(image, sample.mpp))


def _known_truth(detector: Detector, sample: Sample) -> Annotation:
    truth = sample.annotation()
    return replace(truth, classes=("",) * len(truth)) if detector.card.classes == ("",) else truth


def _evaluated(
    sample: Sample, shape: tuple[int, ...], truth: Annotation, found: Nuclei
) -> Evaluated:
    return Evaluated(
        id=sample.id,
        case=sample.case,
        mpp=sample.mpp,
        size=(shape[0], shape[1]),
        truth=truth,
        found=found,
    )
