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
    said, low, high = (measured.scores.get(key) for key in ("f1", "f1_low", "f1_high"))
    written = "–" if said is None else f"{said:.3f} ({low:.3f} to {high:.3f})"
    try:
        samples = measured_samples(measured)
    except UserError as error:
        return Finding(measured.dataset, written, "–", f"not repeated: {error}", failed=False)
    scores = evaluate(
        examine(detector, samples), radius_um=card.radius_um, threshold=card.threshold
    )
    agrees = low is not None and high is not None and low <= scores.f1 <= high
    verdict = "agrees" if agrees else "outside the card's interval"
    return Finding(measured.dataset, written, f"{scores.f1:.3f}", verdict, failed=not agrees)
