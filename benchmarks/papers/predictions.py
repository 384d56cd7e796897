"""What a detector found in its test images, as one small file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from transfer_kit.data.nuclei import Nuclei
from transfer_kit.data.sample import Sample
from transfer_kit.evaluation import Evaluated
from transfer_kit.files import replacing

FILE = "predictions.npz"


def write_predictions(folder: Path, pairs: Sequence[Evaluated]) -> None:
    """Points, scores and classes of all candidates, with the number of the image they lie in."""
    names = sorted({name for pair in pairs for name in pair.found.classes})
    numbers = {name: number for number, name in enumerate(names)}
    with replacing(folder / FILE) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            images=np.array([pair.id for pair in pairs]),
            names=np.array(names),
            image=np.repeat(np.arange(len(pairs)), [len(pair.found) for pair in pairs]),
            points=np.concatenate([pair.found.points for pair in pairs]),
            scores=np.concatenate([pair.found.scores for pair in pairs]),
            classes=np.array([numbers[n] for pair in pairs for n in pair.found.classes], np.uint8),
        )


def read_predictions(folder: Path, samples: Iterable[Sample]) -> list[Evaluated]:
    """Each sample with the candidates that were found in it."""
    by_id = {sample.id: sample for sample in samples}
    pairs = []
    with np.load(folder / FILE, allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    for number, name in enumerate(stored["images"]):
        own = stored["image"] == number
        found = Nuclei(
            stored["points"][own],
            stored["scores"][own],
            tuple(str(stored["names"][k]) for k in stored["classes"][own]),
        )
        pairs.append(_beside_truth(by_id[str(name)], found))
    return pairs


def _beside_truth(sample: Sample, found: Nuclei) -> Evaluated:
    truth = sample.annotation()
    if set(found.classes) <= {""}:
        truth = replace(truth, classes=("",) * len(truth))
    return Evaluated(sample.id, sample.case, sample.mpp, sample.size, truth, found)
