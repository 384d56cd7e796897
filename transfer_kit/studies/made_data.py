"""Datasets made of others: labelled in part, or with the images alone that are worth labelling."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from PIL import Image
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.card import CARD_NAME, SPLITS, DatasetCard, SplitPlan
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.formats.geojson_writer import write_geojson
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.files import replacing
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights
from transfer_kit.studies.study import MadeData
from transfer_kit.suggesting import suggest

GRID = 4
"""Squares along each side of an image, among which the labelled ones are drawn."""


def make_data(settings: MadeData, folder: Path) -> Path:
    """Write the dataset that `settings` describe into `folder`, unless it is there.

    Test images keep all of their labels; in training and validation images nuclei outside the
    labelled squares are left out. Nuclei are written as centres.

    Raises:
        UserError: the dataset or the base is not known, there are fewer training images than are
            to be kept, or one has no annotation.
    """
    if folder.is_dir():
        return folder
    dataset = find_dataset(settings.of)
    samples = _kept(settings, dataset)
    with replacing(folder) as temporary:
        scales, renamed = {}, {}
        for sample in samples:
            case = plain(sample.case)
            renamed[sample.case] = case
            place = f"images/{case}/{plain(sample.id)}"
            annotation = _centres(sample)
            if settings.share < 1 and dataset.split_of(sample) != "test":
                annotation = partly(annotation, sample, settings)
            _write(temporary, place, sample, annotation)
            scales[f"{place}.png"] = sample.mpp
        _card(settings, dataset, renamed, scales).write(temporary / CARD_NAME)
    return folder


def _kept(settings: MadeData, dataset: Dataset) -> list[Sample]:
    samples = [sample for sample in dataset if dataset.split_of(sample)]
    if settings.count is None or settings.base is None:
        return samples
    proposed = suggest(
        Detector.load(find_weights(settings.base)),
        dataset.split("train").samples,
        settings.count,
        region_um=None,
        seed=settings.seed,
    )
    chosen = {each.sample.id for each in proposed}
    return [s for s in samples if dataset.split_of(s) != "train" or s.id in chosen]


def plain(name: str) -> str:
    """With letters that a file may be called by."""
    return re.sub(r"[^\w.-]+", "-", name)


def partly(annotation: Annotation, sample: Sample, settings: MadeData) -> Annotation:
    """What is left of an image's annotation where a share of its area is labelled."""
    squares = labelled_squares(sample, settings)
    inside = shapely.intersects_xy(
        shapely.union_all(squares), annotation.points[:, 0], annotation.points[:, 1]
    )
    kept = np.flatnonzero(inside)
    return replace(
        annotation,
        points=annotation.points[kept],
        classes=tuple(annotation.classes[index] for index in kept),
        labelled_regions=tuple(squares) if settings.outside == "unknown" else (),
    )


def labelled_squares(sample: Sample, settings: MadeData) -> list[BaseGeometry]:
    """Random cells of a grid over the image: at least one, the nearest number to the share."""
    count = max(1, round(settings.share * GRID**2))
    name = sum(ord(letter) * (place + 1) for place, letter in enumerate(sample.id))
    rng = np.random.default_rng([settings.seed, name])
    height, width = sample.size
    xs, ys = (np.linspace(0, side, GRID + 1) - 0.5 for side in (width, height))
    return [
        box(xs[cell % GRID], ys[cell // GRID], xs[cell % GRID + 1], ys[cell // GRID + 1])
        for cell in sorted(rng.choice(GRID**2, count, replace=False))
    ]


def _centres(sample: Sample) -> Annotation:
    whole = sample.annotation()
    return Annotation(whole.points, whole.classes)


def _write(folder: Path, place: str, sample: Sample, annotation: Annotation) -> None:
    image = folder / f"{place}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sample.image()).save(image)
    target = folder / "annotations" / f"{Path(place).name}.geojson"
    target.parent.mkdir(exist_ok=True)
    write_geojson(target, annotation)


def _card(
    settings: MadeData,
    dataset: Dataset,
    renamed: dict[str, str],
    scales: dict[str, float],
) -> DatasetCard:
    lists = {
        split: sorted({new for case, new in renamed.items() if dataset.assignment[case] == split})
        for split in SPLITS
    }
    card = dataset.card
    return DatasetCard.of_fields(
        {
            "name": card.name,  # by which patients are known again
            "organ": card.organ,
            "species": card.species,
            "stain": card.stain,
            "classes": card.classes,
            "licence": card.licence,
            "synthetic": card.synthetic,
            "mpp_by_image": scales,
            "case_pattern": r"^images/([^/]+)/",
            "format": "geojson",
            "splits": SplitPlan(seed=card.splits.seed, **lists),
            "description": _described(settings, card.name),
        }
    )


def _described(settings: MadeData, name: str) -> str:
    said = f"Made of {name}"
    if settings.count is not None:
        said += f": the {settings.count} training images that were proposed to be labelled"
    if settings.share < 1:
        said += f"; {settings.share:.0%} of each labelled image, the rest as {settings.outside}"
    return f"{said}."
