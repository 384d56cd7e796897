"""The numbers by which a detector decodes its maps, chosen on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from transfer_kit.codecs import Codec
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation.counting import Evaluated
from transfer_kit.evaluation.curves import precision_recall_curve
from transfer_kit.evaluation.detection import class_f1
from transfer_kit.evaluation.examine import examine_by
from transfer_kit.evaluation.overlap import Overlap
from transfer_kit.evaluation.segmentation import overlap_in
from transfer_kit.evaluation.statistics import pooled_f1
from transfer_kit.evaluation.thresholds import best_threshold
from transfer_kit.settings import CodecSettings

_SHARES = np.arange(0.0, 1.0, 0.05)


@runtime_checkable
class HasVariants(Protocol):
    """A codec with more numbers to choose than its threshold."""

    def variants(self) -> tuple[Codec, ...]:
        """Itself, then codecs that differ from it in how they decode alone."""


@dataclass(frozen=True)
class Calibrated:
    """What was chosen, and what it gives on the images that it was chosen on.

    Attributes:
        codec: The best variant.
        threshold: Lowest score of a nucleus.
        f1: Pooled F1 of the centres.
        aji: Mean aggregated Jaccard index where that was the criterion; else F1 was, and None.
        class_f1: F1 of the classes at this threshold, weighted by their nuclei; None where the
            codec tells none apart that is annotated.
    """

    codec: Codec
    threshold: float
    f1: float
    aji: float | None = None
    class_f1: float | None = None

    @property
    def criterion(self) -> float:
        """The figure that was the greatest."""
        return self.f1 if self.aji is None else self.aji


@dataclass(frozen=True, eq=False)
class _Seen:
    """All images as one variant finds them; `overlaps` where all have instances."""

    codec: Codec
    pairs: list[Evaluated]
    overlaps: list[Overlap]


def variants_of(codec: Codec) -> tuple[Codec, ...]:
    """The codec, and the others that differ from it in how they decode, if it offers any."""
    return codec.variants() if isinstance(codec, HasVariants) else (codec,)


def calibrate(
    detector: Detector,
    samples: Iterable[Sample],
    *,
    radius_um: float,
    codecs: Sequence[Codec] | None = None,
) -> Calibrated:
    """Choose how a detector decodes its maps: one of the codec's variants, and a threshold.

    For codecs that find whole nuclei the criterion is the mean AJI (as paper 003 chooses p1 and
    p2, section VI-C), if all images have instances; the threshold is then 0, or the score below
    which 5, 10 … 95 % of the candidates lie. Otherwise it is the pooled F1 and the threshold that
    `best_threshold` gives. Of equals the first variant is taken, and the lowest threshold. The
    network sees each image once.

    Args:
        detector: Left as it is; see `adopt`.
        samples: Labelled images that are not those that it will be judged on.
        radius_um: Largest distance of a match in µm.
        codecs: To choose among; those of `variants_of` by default.

    Raises:
        UserError: there is no image, or no annotated nucleus.
    """
    seen = _seen(detector, samples, variants_of(detector.codec) if codecs is None else codecs)
    chosen = [_by_instances(one, radius_um) or _by_points(one, radius_um) for one in seen]
    return max(chosen, key=lambda calibrated: calibrated.criterion)


def adopt(detector: Detector, calibrated: Calibrated) -> None:
    """Give a detector and its card the codec and threshold that were chosen."""
    old, new = asdict(detector.codec), asdict(calibrated.codec)  # type: ignore[call-overload]
    changed = {name: value for name, value in new.items() if value != old[name]}
    card = detector.card
    if changed:
        card.codec = CodecSettings(name=card.codec.name, options=card.codec.options | changed)
    detector.codec = calibrated.codec
    card.threshold = calibrated.threshold


def _seen(detector: Detector, samples: Iterable[Sample], codecs: Sequence[Codec]) -> list[_Seen]:
    seen = [_Seen(codec, [], []) for codec in codecs]
    for pairs in examine_by(detector, samples, codecs):
        for one, pair in zip(seen, pairs, strict=True):
            overlap = overlap_in(pair)
            if overlap is not None:
                one.overlaps.append(overlap)
            # The instances are done with, and those of many variants would fill the memory.
            one.pairs.append(replace(pair, found=replace(pair.found, instances=None)))
    return seen


def _by_points(seen: _Seen, radius_um: float) -> Calibrated:
    threshold = best_threshold(seen.pairs, radius_um=radius_um)
    told_apart = None
    if seen.codec.classes != ("",):
        told_apart = class_f1(seen.pairs, radius_um=radius_um, threshold=threshold.value)
    return Calibrated(seen.codec, threshold.value, threshold.f1, class_f1=told_apart)


def _by_instances(seen: _Seen, radius_um: float) -> Calibrated | None:
    """None where some image has no instances."""
    if not seen.overlaps or len(seen.overlaps) < len(seen.pairs):
        return None
    curve = precision_recall_curve(seen.pairs, radius_um=radius_um)
    if not curve.n_nuclei:
        raise UserError(
            "A codec's numbers are chosen by the nuclei that it finds, but no nucleus is annotated "
            "in these images; label some, or choose other images for validation."
        )
    scores = [pair.found.scores for pair in seen.pairs]
    thresholds = _thresholds(np.concatenate(scores))
    means = [_mean_aji(seen.overlaps, scores, value) for value in thresholds]
    best = int(np.argmax(means))
    f1 = pooled_f1(curve.counts_at(thresholds[best]))
    return Calibrated(seen.codec, thresholds[best], f1, means[best])


def _thresholds(scores: NDArray[np.float32]) -> list[float]:
    if not len(scores):
        return [0.0]
    levels = np.quantile(scores, _SHARES[1:], method="higher")
    return [0.0, *np.unique(levels[levels > 0]).tolist()]


def _mean_aji(
    overlaps: Sequence[Overlap], scores: Sequence[NDArray[np.float32]], threshold: float
) -> float:
    """Over the images that have a nucleus or a detection, as `SegmentationScores.aji`."""
    kept = [
        overlap.keeping(own >= threshold) for overlap, own in zip(overlaps, scores, strict=True)
    ]
    values = [one.aji().value for one in kept if one.n_truth or one.n_found]
    return float(np.mean(values))
