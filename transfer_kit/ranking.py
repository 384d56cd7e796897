"""The detectors of the store in the order in which they promise to suit a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transfer_kit.card import DetectorCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.patients import patient_of
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import NotFiniteMapsError, UserError
from transfer_kit.evaluation import Difference
from transfer_kit.plan import cases_learned, find_held_out
from transfer_kit.stores.models import find_weights, list_models
from transfer_kit.transfer.choosing import BaseScores, OwnOrgan, lead_over, ordered, score_base
from transfer_kit.transfer.cross_validation import Unit, cross_validation_unit


@dataclass(frozen=True)
class Excluded:
    """A base that is not ranked, why, and which cases are in the way."""

    name: str
    reason: str
    cases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """Bases in order for a target, and those left out.

    Attributes:
        by: What they are ordered by, one of `PREDICTORS`.
        unit: What was held out in turn: cases, or images where there is one case.
        bases: The most promising first.
        against_best: Of each of them the recalibrated F1 less the greatest one, with an interval
            over the same cases: where that reaches 0, it may be as good as the best.
    """

    by: str
    unit: Unit
    radius_um: float
    n_images: int
    n_cases: int
    n_nuclei: int
    bases: tuple[BaseScores, ...]
    against_best: tuple[Difference, ...]
    excluded: tuple[Excluded, ...]

    @property
    def best(self) -> BaseScores:
        """The most promising base.

        Raises:
            UserError: every base is excluded.
        """
        if self.bases:
            return self.bases[0]
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in self.excluded)
        raise UserError(
            f"No base can be compared on this target ({reasons}); name others, or train with "
            "--base none."
        )

    def as_dict(self) -> dict[str, Any]:
        """The whole of it, ready for JSON."""
        return {
            "by": self.by,
            "cross_validated_over": self.unit,
            "radius_um": self.radius_um,
            "n_images": self.n_images,
            "n_cases": self.n_cases,
            "n_nuclei": self.n_nuclei,
            "bases": [
                {**base.as_dict(), "against_best": difference.as_dict()}
                for base, difference in zip(self.bases, self.against_best, strict=True)
            ],
            "excluded": [asdict(each) for each in self.excluded],
        }


def rank_bases(
    targets: Sequence[Dataset],
    labelled: Sequence[Sample],
    *,
    models: Sequence[str] | None = None,
    by: str = "recalibrated",
    radius_um: float = 2.0,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Ranking:
    """Score detectors on a target's labelled images, and put them in order; nothing is trained.

    A base that learned from the target's test cases, or from the labelled images that it would be
    judged by, is left out, with the cases.

    Args:
        targets: Whole; their test images are not looked at.
        labelled: Training and validation images, as `labelled_samples` gives them.
        models: Names, organs, files or run folders; all of the store by default.
        by: One of `PREDICTORS`.
        radius_um: Largest distance of a match in µm.
        seed: Of the bootstraps, and of the nuclei and background whose features are looked at.
        device: As `Detector.to` takes it.
        progress: Told the base that is begun, how many are done, and how many there are.

    Raises:
        UserError: a name or the device is unknown, the store is empty, `by` is no score, or fewer
            than two labelled images have nuclei.
    """
    ordered((), by)  # a wrong name is told before the work
    unit = cross_validation_unit(labelled)
    asked = _Question(tuple(targets), tuple(labelled), unit, radius_um, seed, device)
    candidates = _candidates(models)
    outcomes: list[BaseScores | Excluded] = []
    for name, weights in candidates:
        progress(name, len(outcomes), len(candidates))
        outcomes.append(_answer(name, weights, asked))
    bases = [each for each in outcomes if isinstance(each, BaseScores)]
    in_order, best = ordered(bases, by), ordered(bases)[:1]
    return Ranking(
        by=by,
        unit=unit,
        radius_um=radius_um,
        n_images=len(labelled),
        n_cases=len({sample.case for sample in labelled}),
        n_nuclei=sum(len(sample.annotation()) for sample in labelled),
        bases=in_order,
        against_best=tuple(lead_over(each, best[0], seed=seed) for each in in_order),
        excluded=tuple(each for each in outcomes if isinstance(each, Excluded)),
    )


@dataclass(frozen=True)
class _Question:
    """What all bases are asked alike."""

    targets: tuple[Dataset, ...]
    labelled: tuple[Sample, ...]
    unit: Unit
    radius_um: float
    seed: int
    device: str


def _answer(name: str, weights: Path, asked: _Question) -> BaseScores | Excluded:
    try:
        detector = Detector.load(weights)
    except UserError as error:
        return Excluded(name, str(error))
    learned = _learned(name, detector.card, asked)
    if learned is not None:
        return learned
    detector.to(asked.device)
    try:
        return score_base(
            detector,
            asked.labelled,
            _own_organ(detector.card, asked),
            name=name,
            unit=asked.unit,
            radius_um=asked.radius_um,
            seed=asked.seed,
        )
    except NotFiniteMapsError as error:
        return Excluded(name, str(error))


def _learned(name: str, card: DetectorCard, asked: _Question) -> Excluded | None:
    """Why a base cannot be judged honestly, where it learned from what it would be judged by."""
    for target in asked.targets:
        tested = cases_learned(card, _part(target, "test"))
        if tested:
            return Excluded(name, f"it learned from cases that test {target.name}", tuple(tested))
        labelled = replace(
            target, samples=tuple(each for each in target.samples if each in set(asked.labelled))
        )
        seen = cases_learned(card, labelled)
        if seen:
            return Excluded(
                name,
                f"it learned from labelled cases of {target.name} that it would be judged by",
                tuple(seen),
            )
    return None


def _part(target: Dataset, split: str) -> Dataset:
    """A split, also an empty one."""
    samples = tuple(sample for sample in target if target.split_of(sample) == split)
    return replace(target, samples=samples)


def _own_organ(card: DetectorCard, asked: _Question) -> OwnOrgan | None:
    """The base's held-out cases, or its embedded organ, without any case of the question."""
    if not card.organ:
        return None
    asked_for = {
        patient_of(target.card.name, sample.case)
        for target in asked.targets
        for sample in target
        if target.split_of(sample) == "test" or sample in asked.labelled
    }
    parts = find_held_out(card, [])
    samples = tuple(
        sample
        for part in parts
        for sample in part.samples
        if patient_of(part.name, sample.case) not in asked_for
    )
    if not samples:
        return None
    return OwnOrgan(
        " + ".join(part.name for part in parts), samples, any(part.stands_in for part in parts)
    )


def _candidates(models: Sequence[str] | None) -> list[tuple[str, Path]]:
    if models is None:
        found = [(model.name, model.weights) for model in list_models()]
        if not found:
            raise UserError(
                "There is no detector in the store to choose from; add one with "
                "'transfer-kit models add FILE --name NAME', or train with --base none."
            )
        return found
    named = [(name, find_weights(name)) for name in models]
    return list({weights: (name, weights) for name, weights in named}.values())
