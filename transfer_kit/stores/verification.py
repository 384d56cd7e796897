"""Measure a detector again on the cases that its card names, and compare."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from transfer_kit.card import Measurement
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import evaluate, evaluate_segmentation, examine
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights

SAME = 0.01
"""How far another machine's figure may be from a card's whose interval is narrower, or is none."""

FIGURES: tuple[Literal["f1"], Literal["aji"]] = ("f1", "aji")


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
    findings = [
        finding for measured in detector.card.measured for finding in _repeat(detector, measured)
    ]
    if all(finding.found == "–" for finding in findings):
        raise UserError(
            f"None of the data that the card of {name} was measured on is on this machine; set "
            "TRANSFER_KIT_DATA to the folder that holds them (see `transfer-kit data list`)."
        )
    return findings


def measure(
    detector: Detector, dataset: str, *, split: str = "test", radius_um: float
) -> Measurement:
    """A detector on a split of one dataset or several (`"a + b"`), with its card's threshold.

    Raises:
        UserError: a dataset is unknown or not here, or has no case in the split.
    """
    parts = [find_dataset(name) for name in dataset.split(" + ")]
    samples = [sample for part in parts for sample in part.split(split)]
    threshold = detector.card.threshold
    examined = examine(detector, samples)
    whole = evaluate_segmentation(examined, threshold=threshold)
    return Measurement(
        dataset=dataset,
        organ=parts[0].card.organ,
        split=split,
        scores=evaluate(examined, radius_um=radius_um, threshold=threshold).as_dict(),
        segmentation=None if whole is None else _without_images(whole.as_dict()),
    )


def _without_images(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "images"}


def _repeat(detector: Detector, measured: Measurement) -> list[Finding]:
    radius_um = float(measured.scores.get("radius_um", detector.card.radius_um))
    try:
        now = measure(detector, measured.dataset, split=measured.split, radius_um=radius_um)
    except UserError as error:
        said = f"not repeated: {error}"
        return [Finding(measured.dataset, measured.in_words(), "–", said, failed=False)]
    figures = FIGURES if measured.segmentation and now.segmentation else FIGURES[:1]
    return [_compare(measured, now, figure) for figure in figures]


def _compare(measured: Measurement, now: Measurement, figure: Literal["f1", "aji"]) -> Finding:
    """Whether a figure lies in the card's interval, or beside the card's.

    An interval over one or two cases can be narrower than what another version rounds otherwise.
    """
    said, low, high = measured.interval(figure)
    found = now.interval(figure)[0]
    name = f"{measured.dataset} (AJI)" if figure == "aji" else measured.dataset
    beside = said is not None and found is not None and abs(found - said) <= SAME
    if low is not None and high is not None:
        agrees = beside or (found is not None and low <= found <= high)
        against = "the card's interval"
    else:
        agrees, against = beside, f"{SAME:g} of the card's {figure.upper()}"
    verdict = "agrees" if agrees else f"outside {against}"
    told = "–" if found is None else f"{found:.3f}"
    return Finding(name, measured.in_words(figure), told, verdict, failed=not agrees)
