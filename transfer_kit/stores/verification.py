"""Measure a detector again on the cases that its card names, and compare."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from transfer_kit.card import DetectorCard, Measurement
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import evaluate, examine
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights

SAME_F1 = 0.01
"""How far another machine's F1 may be from a card's that has no interval (a single case)."""


@dataclass(frozen=True)
class Finding:
    """One measurement of a card, repeated."""

    dataset: str
    said: str
    found: str
    verdict: str
    failed: bool

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def verify_model(name: str, *, device: str = "auto") -> list[Finding]:
    """Repeat every measurement of a detector's card whose data are on this machine.

    Raises:
        UserError: none of them can be repeated.
    """
    detector = Detector.load(find_weights(name)).to(device)
    if not detector.card.measured:
        raise UserError(f"The card of {name} has no measurement to repeat.")
    findings = [_repeat(detector, measured) for measured in detector.card.measured]
    if all(finding.found == "–" for finding in findings):
        raise UserError(
            f"None of the data that the card of {name} was measured on is on this machine; set "
            "TRANSFER_KIT_DATA to the folder that holds them (see `transfer-kit data list`)."
        )
    return findings


def measured_samples(measured: Measurement) -> list[Sample]:
    """The samples of a measurement: a split of one or several datasets."""
    return [
        sample
        for name in measured.dataset.split(" + ")
        for sample in find_dataset(name).split(measured.split)
    ]


def _repeat(detector: Detector, measured: Measurement) -> Finding:
    card: DetectorCard = detector.card
    said = measured.in_words()
    try:
        samples = measured_samples(measured)
    except UserError as error:
        return Finding(measured.dataset, said, "–", f"not repeated: {error}", failed=False)
    radius_um = float(measured.scores.get("radius_um", card.radius_um))
    scores = evaluate(examine(detector, samples), radius_um=radius_um, threshold=card.threshold)
    agrees, against = _agrees(measured, scores.f1)
    verdict = "agrees" if agrees else f"outside {against}"
    return Finding(measured.dataset, said, f"{scores.f1:.3f}", verdict, failed=not agrees)


def _agrees(measured: Measurement, f1: float) -> tuple[bool, str]:
    """Whether `f1` lies in the card's interval, or beside its F1 where it has none."""
    said, low, high = (measured.scores.get(key) for key in ("f1", "f1_low", "f1_high"))
    if low is not None and high is not None:
        return low <= f1 <= high, "the card's interval"
    return said is not None and abs(f1 - said) <= SAME_F1, f"{SAME_F1:g} of the card's F1"
