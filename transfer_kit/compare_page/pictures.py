"""The same test images with what each detector finds, as pictures inside the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.compare_page.entry import Entry
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import examine, overlay, score_image
from transfer_kit.evaluation.statistics import precision_recall_f1
from transfer_kit.pair_choice import targets_of
from transfer_kit.stores.datasets import find_dataset

MOST_IN_A_ROW = 6
"""Detectors that each image is shown with."""

LONGEST_PX = 900
"""Side of a picture; larger images are scaled down."""


@dataclass(frozen=True)
class Picture:
    """A test image as one detector sees it; `data` is a `data:` address."""

    entry: str
    caption: str
    data: str


@dataclass(frozen=True)
class Row:
    """One test image by all detectors."""

    image: str
    pictures: tuple[Picture, ...]


def overlay_rows(
    entries: Sequence[Entry], *, count: int, device: str
) -> tuple[tuple[Row, ...], str]:
    """Images of the common target's test split, evenly drawn from it, and why not where none.

    Args:
        entries: Whose detectors look at them, the first `MOST_IN_A_ROW` of those that are kept.
        count: How many images; 0 is none.
        device: As `Detector.to` takes it.
    """
    if not count:
        return (), ""
    with_files = [entry for entry in entries if entry.detector and entry.detector.is_file()]
    with_files = with_files[:MOST_IN_A_ROW]
    if not with_files:
        return (), "No detector is kept beside these trainings."
    targets = {entry.recipe.target for entry in with_files}
    if len(targets) > 1:
        return (), f"They have different targets ({', '.join(sorted(targets))})."
    try:
        samples = _samples(with_files[0], count)
    except UserError as error:
        return (), f"The target's images are not on this machine: {error}"
    pictures = [_pictures(entry, samples, device) for entry in with_files]
    rows = [
        Row(sample.id, tuple(each[number] for each in pictures))
        for number, sample in enumerate(samples)
    ]
    return tuple(rows), ""


def _samples(entry: Entry, count: int) -> list[Sample]:
    tests = [
        sample
        for target in map(find_dataset, targets_of(entry.recipe))
        for sample in target.split("test")
    ]
    tests = [sample for sample in tests if sample.annotation().tells_false]
    places = np.linspace(0, len(tests) - 1, min(count, len(tests))).round().astype(int)
    return [tests[place] for place in places]


def _pictures(entry: Entry, samples: Sequence[Sample], device: str) -> list[Picture]:
    assert entry.detector is not None  # noqa: S101 - for the type checker
    detector = Detector.load(entry.detector).to(device)
    radius_um, threshold = entry.recipe.evaluation.radius_um, detector.card.threshold
    pictures = []
    for sample, pair in zip(samples, examine(detector, samples), strict=True):
        found = pair.found.above(threshold)
        drawn = overlay(sample.image(), pair.truth, found, radius_um=radius_um, mpp=sample.mpp)
        scored = score_image(
            pair.truth, found, radius_px=radius_um / sample.mpp, size=sample.image().shape[:2]
        )
        f1 = float(precision_recall_f1(scored.counts)[2])
        true, false, missed = (int(n) for n in scored.counts)
        caption = f"F1 {f1:.3f}: {true} true, {false} false, {missed} missed"
        pictures.append(Picture(entry.letter, caption, _as_data(drawn)))
    return pictures


def _as_data(image: NDArray[np.uint8]) -> str:
    longest = max(image.shape[:2])
    if longest > LONGEST_PX:
        scale = LONGEST_PX / longest
        image = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"
