"""What is known of a base before it is fine-tuned to a target, and the order that follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from transfer_kit.data.sample import Sample
from transfer_kit.data.splits import permuted
from transfer_kit.data.stain.distance import density_statistics, mean_statistics, stain_distance
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.evaluation import (
    DetectionScores,
    Difference,
    evaluate,
    examine,
    paired_difference,
)
from transfer_kit.transfer.cross_validation import Recalibrated, Unit, recalibrated_f1
from transfer_kit.transfer.distances import relative_frechet_distance
from transfer_kit.transfer.features import Floats, draw_places, features_at
from transfer_kit.transfer.transferability import h_score, logme, with_bias

MOST_NUCLEI = 500
"""Whose features are looked at, of the target and of the base's own organ; as much background."""

MOST_OWN_IMAGES = 8
"""Of the base's own organ, which its distances to the target are measured from."""


@dataclass(frozen=True)
class OwnOrgan:
    """Annotated images of a base's own organ, none of them a test image of the target.

    Attributes:
        stands_in: Whether they are of an embedded organ, in place of the base's own cases.
    """

    name: str
    samples: tuple[Sample, ...]
    stands_in: bool = False


@dataclass(frozen=True)
class BaseScores:
    """What is known of one base before it is fine-tuned.

    Attributes:
        name: As the store or the user calls it.
        organ: That it was trained on.
        as_is: Of the labelled images at its own threshold.
        recalibrated: Of the same, the threshold cross-validated on them.
        feature_distance: Squared Fréchet distance of its features on the target from those on its
            own organ, by their variance there; None where no image of its organ is at hand.
        stain_distance: Of the same images, in natural optical density; None likewise, or of glass
            alone.
        logme: LogME of its features, and a constant, at nuclei and background; None where one of
            these is lacking.
        h_score: H-score of the same.
        own_organ: Which images stand for its own organ; empty without any.
        own_organ_stands_in: Whether they are of an embedded organ.
    """

    name: str
    organ: str
    as_is: DetectionScores
    recalibrated: Recalibrated
    feature_distance: float | None
    stain_distance: float | None
    logme: float | None
    h_score: float | None
    own_organ: str
    own_organ_stands_in: bool

    def as_dict(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        chosen, as_is = self.recalibrated, self.as_is
        return {
            "name": self.name,
            "organ": self.organ,
            "recalibrated": {"f1": chosen.f1, "f1_low": chosen.low, "f1_high": chosen.high},
            "as_is": {
                "f1": as_is.f1,
                "f1_low": as_is.f1_low,
                "f1_high": as_is.f1_high,
                "threshold": as_is.threshold,
            },
            "feature_distance": self.feature_distance,
            "stain_distance": self.stain_distance,
            "logme": self.logme,
            "h_score": self.h_score,
            "own_organ": self.own_organ,
            "own_organ_stands_in": self.own_organ_stands_in,
        }


def _nearness(distance: float | None) -> float | None:
    return None if distance is None else -distance


PREDICTORS: Mapping[str, Callable[[BaseScores], float | None]] = {
    "recalibrated": lambda base: base.recalibrated.f1,
    "as-is": lambda base: base.as_is.f1,
    "features": lambda base: _nearness(base.feature_distance),
    "stain": lambda base: _nearness(base.stain_distance),
    "logme": lambda base: base.logme,
    "h-score": lambda base: base.h_score,
}
"""By name, each greater for a base that ought to be better; None where it cannot be told."""


def score_base(
    detector: Detector,
    labelled: Sequence[Sample],
    own_organ: OwnOrgan | None,
    *,
    name: str,
    unit: Unit,
    radius_um: float,
    seed: int = 0,
) -> BaseScores:
    """All that is known of a base before it is fine-tuned; nothing is trained.

    Args:
        detector: The base; left as it is.
        labelled: The labelled images of the target, none of which it learned from.
        own_organ: Images of its own organ, where there are some.
        name: What to call it.
        unit: From `cross_validation_unit`.
        radius_um: Largest distance of a match in µm.
        seed: Of the bootstrap, and of the nuclei and background that are looked at.

    Raises:
        UserError: an image has no annotation, or the base's weights are broken.
    """
    pairs = examine(detector, labelled)
    target = _look(detector, labelled, by_class=_tells_classes(detector, labelled), seed=seed)
    told_apart = len(set(target.labels)) > 1
    own = [] if own_organ is None else _some(own_organ.samples, seed)
    return BaseScores(
        name=name,
        organ=detector.card.organ,
        as_is=evaluate(pairs, radius_um=radius_um, threshold=detector.card.threshold, seed=seed),
        recalibrated=recalibrated_f1(pairs, unit=unit, radius_um=radius_um, seed=seed),
        feature_distance=_feature_distance(_look(detector, own, by_class=False, seed=seed), target),
        stain_distance=_stain_distance(own, labelled),
        logme=logme(with_bias(target.features), target.labels) if told_apart else None,
        h_score=h_score(*target) if told_apart else None,
        own_organ=own_organ.name if own_organ and own else "",
        own_organ_stands_in=bool(own_organ and own and own_organ.stands_in),
    )


def ordered(bases: Sequence[BaseScores], by: str = "recalibrated") -> tuple[BaseScores, ...]:
    """The bases, the most promising first; those of which it cannot be told last.

    Of equals the one with the better F1 is first, recalibrated, then as it is.

    Args:
        bases: Scored on the same images.
        by: One of `PREDICTORS`.

    Raises:
        UserError: there is no such score.
    """
    if by not in PREDICTORS:
        raise UserError(f"Bases cannot be ordered by {by!r}. {nearest_hint(by, PREDICTORS)}")

    def key(base: BaseScores) -> tuple[bool, float, float, float, str]:
        value = PREDICTORS[by](base)
        f1 = -base.recalibrated.f1, -base.as_is.f1
        return value is None, -(value or 0.0), *f1, base.name

    return tuple(sorted(bases, key=key))


def lead_over(first: BaseScores, other: BaseScores, *, seed: int = 0) -> Difference:
    """Recalibrated F1 of one base less that of another, with its interval over the same cases."""
    return paired_difference(first.recalibrated, other.recalibrated, seed=seed)


class _Look(NamedTuple):
    """Features `(N, D)` at nuclei and background of some images, and what is there."""

    features: Floats
    labels: list[str]


def _look(detector: Detector, samples: Sequence[Sample], *, by_class: bool, seed: int) -> _Look:
    parts: list[Floats] = []
    labels: list[str] = []
    for number, sample in enumerate(samples):
        annotation = sample.annotation()
        if not annotation.tells_false:
            continue
        rng = np.random.default_rng([seed, number])
        most = -(-MOST_NUCLEI // len(samples))
        places = draw_places(
            annotation, sample.size, sample.mpp, by_class=by_class, most=most, rng=rng
        )
        if places.labels:
            parts.append(features_at(detector, sample.image(), sample.mpp, places.points))
            labels += places.labels
    return _Look(np.concatenate(parts) if parts else np.zeros((0, 0)), labels)


def _tells_classes(detector: Detector, samples: Sequence[Sample]) -> bool:
    """Whether both the base and the annotations have classes."""
    if detector.card.classes == ("",):
        return False
    return any(name for sample in samples for name in sample.annotation().classes)


def _some(samples: Sequence[Sample], seed: int) -> list[Sample]:
    by_id = {sample.id: sample for sample in samples}
    return [by_id[name] for name in permuted(by_id, seed)[:MOST_OWN_IMAGES]]


def _feature_distance(own: _Look, target: _Look) -> float | None:
    if min(len(own.features), len(target.features)) < 2:
        return None
    return relative_frechet_distance(own.features, target.features)


def _stain_distance(own: Sequence[Sample], target: Sequence[Sample]) -> float | None:
    first, second = (
        mean_statistics(density_statistics(sample.image()) for sample in samples)
        for samples in (own, target)
    )
    return None if first is None or second is None else stain_distance(first, second)
