"""What `transfer-kit data` says of where labels came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_kit.data.corrections import note_corrections
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.provenance import Origin, count_origins, origins_of
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError
from transfer_kit.wording import counted


def compare_with(dataset: Dataset, predicted: Path) -> dict[str, Any]:
    """Note every label's origin beside the predictions in a folder; counts for people and programs.

    Raises:
        UserError: no prediction is of an image of the dataset, or labels cannot be read or written.
    """
    origins: list[Origin] = []
    deleted = compared = 0
    for sample in _whole_images(dataset):
        corrected = note_corrections(sample, predicted)
        compared += corrected is not None
        if corrected is not None:
            origins += corrected.origins
            deleted += corrected.deleted
        elif sample.source is not None:
            origins += origins_of(sample.annotation())
    if not compared:
        first = next(_whole_images(dataset)).image_path.stem
        raise UserError(
            f"{predicted} holds no prediction of an image of {dataset.name}, such as "
            f"{first}.geojson; give the folder that 'transfer-kit predict' wrote."
        )
    return {"origins": count_origins(origins), "compared": compared, "deleted": deleted}


def told_origins(dataset: Dataset) -> dict[str, Any]:
    """Counts of the origins that the labels themselves tell; only GeoJSON can.

    Raises:
        UserError: labels cannot be read.
    """
    origins: list[Origin] = []
    for sample in _whole_images(dataset):
        if sample.source is not None and sample.source.format == "geojson":
            origins += origins_of(sample.annotation())
    return {"origins": count_origins(origins)} if origins else {}


def in_words(document: Mapping[str, Any]) -> str:
    """One sentence: how many labels are whose; empty where nothing is known."""
    parts = [_part(Origin.read(text), count) for text, count in document.get("origins", {}).items()]
    if not parts:
        return ""
    sentence = f"Labels: {', '.join(parts)}"
    if "deleted" in document:
        sentence += f"; {counted(document['deleted'], 'detection')} deleted"
    return f"{sentence}."


def _part(origin: Origin | None, count: int) -> str:
    of_model = f" of {origin.model}" if origin is not None and origin.model else ""
    if origin is None or origin.kind == "person":
        return f"{count:,} by a person"
    word = "corrected" if origin.kind == "corrected" else "unchanged"
    return f"{counted(count, f'{word} detection')}{of_model}"


def _whole_images(dataset: Dataset) -> Iterator[Sample]:
    """Each image once, also where its tiles count as images."""
    whole = {sample.image_path: replace(sample, window=None) for sample in dataset}
    yield from whole.values()
