"""A detector over samples: what it found beside what is true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from transfer_kit.codecs import Codec
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.evaluation.detection import Evaluated


def examine(detector: Detector, samples: Iterable[Sample]) -> list[Evaluated]:
    """All candidates of `detector` in each sample, unfiltered, with the sample's truth.

    Classes are left out where the detector knows none, so that a detector of one class can be
    measured on data with many. Samples with region labels alone are passed over: nothing tells
    which of their detections are true. So are those of which only some nuclei are marked and no
    region is labelled: nothing tells which are false.
    """
    own = (detector.codec,)
    return [pair for pairs in examine_by(detector, samples, own) for pair in pairs]


def examine_marked(detector: Detector, samples: Iterable[Sample]) -> list[Evaluated]:
    """As `examine`, but for the samples of which only some nuclei are marked, for their recall."""
    return [
        pair
        for sample in samples
        if (truth := sample.annotation()).positives_only and len(truth)
        for pair in _examine_one(detector, sample, truth, (detector.codec,))
    ]


def examine_by(
    detector: Detector, samples: Iterable[Sample], codecs: Sequence[Codec]
) -> Iterator[Iterator[Evaluated]]:
    """Each sample that `examine` looks at, by each of several codecs that decode the same maps.

    The maps are computed once a sample; what one codec found is made when it is asked for.
    """
    for sample in samples:
        truth = sample.annotation()
        if truth.tells_false:
            yield _examine_one(detector, sample, truth, codecs)


def _examine_one(
    detector: Detector, sample: Sample, truth: Annotation, codecs: Sequence[Codec]
) -> Iterator[Evaluated]:
    if detector.card.classes == ("",):
        truth = replace(truth, classes=("",) * len(truth))
    image = sample.image()
    for found in detector.candidates_by(codecs, image, sample.mpp):
        yield Evaluated(
            id=sample.id,
            case=sample.case,
            mpp=sample.mpp,
            size=(image.shape[0], image.shape[1]),
            truth=truth,
            found=found,
        )
