"""What `transfer-kit data show` and `split` say of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from transfer_kit.cli.data_origins import in_words
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.provenance import Origin, count_origins, origins_of


def summary(dataset: Dataset) -> dict[str, Any]:
    """Images, cases and nuclei, of the whole and of each split, and where labels came from."""
    nuclei: dict[str, int] = {}
    origins: list[Origin] = []
    for sample in dataset:
        if sample.source:
            found = origins_of(sample.annotation())
            nuclei[sample.id] = len(found)
            origins += found
    splits = {}
    for split in ("train", "validation", "test", ""):
        samples = [sample for sample in dataset if dataset.split_of(sample) == split]
        if samples or split:
            splits[split or "none"] = {
                "images": len(samples),
                "cases": sorted({sample.case for sample in samples}),
                "nuclei": sum(nuclei.get(sample.id, 0) for sample in samples),
            }
    return {
        "name": dataset.name,
        "root": str(dataset.root),
        "images": len(dataset),
        "cases": len(dataset.cases),
        "nuclei": sum(nuclei.values()),
        "mpp": sorted({sample.mpp for sample in dataset}),
        "splits": splits,
        "origins": count_origins(origins),
    }


def print_summary(dataset: Dataset, document: Mapping[str, Any], console: Console) -> None:
    """Print the card's main fields and a table of the splits."""
    card = dataset.card
    about = Table(show_header=False, box=None, pad_edge=False)
    about.add_row("dataset", card.name + (" (synthetic)" if card.synthetic else ""))
    about.add_row("organ", f"{card.organ}, {card.species}, {card.stain}")
    about.add_row("µm per pixel", ", ".join(f"{mpp:g}" for mpp in document["mpp"]))
    for label, text in (
        ("classes", ", ".join(card.classes)),
        ("licence", card.licence),
        ("source", card.source),
        ("about", card.description),
        ("images", str(dataset.root)),
        ("labels", in_words(document).removeprefix("Labels: ").removesuffix(".")),
    ):
        if text:
            about.add_row(label, text)
    console.print(about)
    table = Table("split", "images", "cases", "nuclei", "which cases")
    for split, row in document["splits"].items():
        cases = row["cases"]
        shown = ", ".join(cases[:8]) + (" …" if len(cases) > 8 else "")
        table.add_row(split, str(row["images"]), str(len(cases)), str(row["nuclei"]), shown)
    table.add_section()
    total = [str(document[key]) for key in ("images", "cases", "nuclei")]
    table.add_row("all", *total)
    console.print(table)
