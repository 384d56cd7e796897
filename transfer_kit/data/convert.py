"""A dataset copied into a folder of its own, its annotations in another format."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.card import CARD_NAME, SPLITS, DatasetCard, SplitPlan
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.formats import WRITER_SUFFIXES, WRITERS, ImageInfo
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.files import replacing

_CASE_FOLDER = r"^images/([^/]+)/"


def convert_dataset(dataset: Dataset, folder: Path, format: str) -> Path:
    """Write `images/`, `annotations/` and `dataset.yaml` into a new folder; gives it back.

    Image files are copied byte by byte. Cases and splits stay as they are: where the case pattern
    does not fit the new paths, each case becomes a folder. CSV keeps centres and classes alone.

    Raises:
        UserError: the format is not written, the folder exists, or the nuclei do not fit it.
    """
    if format not in WRITERS:
        raise UserError(f"There is no writer of {format!r}. {nearest_hint(format, WRITERS)}")
    if folder.exists():
        raise UserError(f"{folder} is there already; choose a new folder.")
    paths, pattern = _new_paths(dataset)
    with replacing(folder) as temporary:
        annotated: list[tuple[ImageInfo, Annotation]] = []
        for sample in dataset:
            image = temporary / paths[sample.id]
            image.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(sample.image_path, image)
            if sample.source is None:
                continue
            annotated.append((ImageInfo.of(image), sample.annotation()))
        try:
            _write(temporary / "annotations", annotated, format)
        except UserError as error:
            raise UserError(str(error).replace(str(temporary), str(folder))) from None
        card = _new_card(dataset, paths, pattern, format)
        card.write(temporary / CARD_NAME)
        Dataset.open(temporary)
    return folder


def _new_paths(dataset: Dataset) -> tuple[dict[str, str], str | None]:
    """The path of each image in the new folder by its id, and the case pattern that fits it."""
    stems = Counter(PurePosixPath(sample.id).stem for sample in dataset)
    names: dict[str, str] = {}
    for sample in dataset:
        stem = PurePosixPath(sample.id).stem
        whole = stem if stems[stem] == 1 else sample.id.replace("/", "__")
        names[sample.id] = f"{whole}{sample.image_path.suffix.lower()}"
    paths = {name: f"images/{file}" for name, file in names.items()}
    pattern = dataset.card.case_pattern
    if pattern is None:
        return paths, None
    found = {sample.id: re.search(pattern, paths[sample.id]) for sample in dataset}
    if all((match := found[s.id]) is not None and match[1] == s.case for s in dataset):
        return paths, pattern
    by_case = {s.id: f"images/{re.sub('/', '_', s.case)}/{names[s.id]}" for s in dataset}
    return by_case, _CASE_FOLDER


def _write(folder: Path, annotated: Sequence[tuple[ImageInfo, Annotation]], format: str) -> None:
    """COCO holds all images in one file, the other formats one image a file."""
    folder.mkdir()
    suffix = WRITER_SUFFIXES[format]
    if format == "coco":
        WRITERS[format](folder / f"annotations{suffix}", annotated)
        return
    for one in annotated:
        WRITERS[format](folder / f"{one[0].path.stem}{suffix}", [one])


def _new_card(
    dataset: Dataset, paths: Mapping[str, str], pattern: str | None, format: str
) -> DatasetCard:
    renamed = {s.case: _new_case(s, paths[s.id], pattern) for s in dataset}
    lists = {
        name: sorted(
            renamed[case] for case in dataset.cases if dataset.assignment.get(case) == name
        )
        for name in SPLITS
    }
    scales = {paths[s.id]: s.mpp for s in dataset}
    one = len(set(scales.values())) == 1
    changes: dict[str, Any] = {
        "mpp": dataset[0].mpp if one else None,
        "mpp_by_image": {} if one else scales,
        "case_pattern": pattern,
        "root": ".",
        "images": None,
        "annotations": None,
        "format": format,
        "crosswalk": None,
        "splits": SplitPlan(seed=dataset.card.splits.seed, **lists),
    }
    return DatasetCard.of_fields({**dataset.card.model_dump(), **changes})


def _new_case(sample: Sample, path: str, pattern: str | None) -> str:
    if pattern is None:
        return PurePosixPath(path).stem
    match = re.search(pattern, path)
    return match[1] if match else sample.case
