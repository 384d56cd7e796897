"""How each study deals its images: folds, published splits, shares of the labels, seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample
from transfer_kit.stores.datasets import find_dataset

Samples = tuple[Sample, ...]

# The published split of Kumar et al. 2017, with DIST's "one image from each organ" to validate on;
# which ones the paper does not tell: the last of each organ by name.
KUMAR_ORGANS = ("bladder", "breast", "colon", "kidney", "liver", "prostate", "stomach")
KUMAR_TRAIN = (
    *("TCGA-A7-A13E", "TCGA-A7-A13F", "TCGA-AR-A1AK"),
    *("TCGA-B0-5711", "TCGA-HE-7128", "TCGA-HE-7129"),
    *("TCGA-18-5592", "TCGA-38-6178", "TCGA-49-4488"),
    *("TCGA-G9-6336", "TCGA-G9-6348", "TCGA-G9-6356"),
)
KUMAR_VALIDATION = ("TCGA-AR-A1AS", "TCGA-HE-7130", "TCGA-50-5931", "TCGA-G9-6363")


@dataclass(frozen=True)
class Part:
    """One training and its test.

    Attributes:
        group: Parts of one group are averaged (seeds) or pooled (folds) in the table.
        regions_alone: Further training images, of whose nuclei nothing is told.
        datasets: What the images belong to.
    """

    name: str
    datasets: tuple[Dataset, ...]
    train: Samples
    validation: Samples
    test: Samples
    seed: int = 0
    group: str = ""
    regions_alone: Samples = ()


@dataclass(frozen=True)
class RegionsAlone(Sample):
    """A sample that keeps its nuclei to itself."""

    def annotation(self) -> Annotation:
        """Its regions."""
        nothing = np.zeros((0, 2), np.float32)
        return Annotation(nothing, (), region_labels=super().annotation().region_labels)


def folds(dataset: str, count: int = 5, validation: int = 6) -> list[Part]:
    """Cross-validation by image, as nothing is known of the patients."""
    whole = find_dataset(dataset)
    parts = []
    for number, fold in enumerate(whole.folds(count, 0, by="image")):
        judging = tuple(fold.train.subset(validation, 0))
        learning = tuple(sample for sample in fold.train if sample not in judging)
        parts.append(Part(f"fold{number}", (whole,), learning, judging, tuple(fold.test)))
    return parts


def kumar() -> list[Part]:
    """12 training, 4 validation and 14 test images of 1000 × 1000 (paper 003, section VI-C)."""
    wholes = tuple(_untiled(find_dataset(f"monuseg-{organ}")) for organ in KUMAR_ORGANS)
    samples = [sample for whole in wholes for sample in whole]
    learning = tuple(s for s in samples if s.case in KUMAR_TRAIN)
    judging = tuple(s for s in samples if s.case in KUMAR_VALIDATION)
    test = tuple(s for s in samples if s.case not in (*KUMAR_TRAIN, *KUMAR_VALIDATION))
    if (len(learning), len(judging), len(test)) != (12, 4, 14):
        raise SystemExit("Not all 30 images of Kumar et al. are here; see stores/datasets.")
    return [Part("published", wholes, learning, judging, test)]


def splits(dataset: str, seeds: Sequence[int] = (0,)) -> list[Part]:
    """A dataset's own splits by case, once a seed."""
    whole = find_dataset(dataset)
    learning, judging, test = (tuple(whole.split(s)) for s in ("train", "validation", "test"))
    return [Part(f"seed{s}", (whole,), learning, judging, test, seed=s) for s in seeds]


def shares(dataset: str, percent: Sequence[int], seeds: Sequence[int] = (0,)) -> list[Part]:
    """Shares of the training images with labelled nuclei; the rest have regions alone."""
    parts = []
    for part in splits(dataset, seeds):
        for share in percent:
            few = tuple(part.datasets[0].split("train").subset(f"{share}%", part.seed))
            rest = tuple(RegionsAlone(**vars(s)) for s in part.train if s not in few)
            name = f"{share:03d}percent-{part.name}"
            parts.append(
                replace(part, name=name, train=few, regions_alone=rest, group=f"{share} %")
            )
    return parts


def _untiled(dataset: Dataset) -> Dataset:
    card = dataset.card.model_copy(update={"tile_px": None})
    return Dataset.of_card(card, dataset.root, dataset.path)


DEALERS: dict[str, Callable[..., list[Part]]] = {
    "folds": folds,
    "kumar": kumar,
    "shares": shares,
    "splits": splits,
}


def parts_of(dealer: str, data: dict[str, Any]) -> list[Part]:
    """The parts of a study; see `Study.parts` and `Study.data`."""
    return DEALERS[dealer](**data)
