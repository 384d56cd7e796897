"""What the page shows: images, with what was found in each and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfer_kit.data.formats import AnnotationSource, RegionNames
from transfer_kit.viewer.label_file import LabelFile


@dataclass(frozen=True, eq=False)
class Truth:
    """Where the annotation lies that detections are compared with, if not the labels themselves.

    Attributes:
        source: The file.
        names: Which class names mean areas.
        positives_only: Outside labelled regions only some nuclei are marked.
    """

    source: AnnotationSource
    names: RegionNames
    positives_only: bool = False


@dataclass(frozen=True, eq=False)
class Shown:
    """One image of the list.

    Attributes:
        name: In the list; unique there.
        path: The image or slide.
        labels: Where its labels lie.
        mpp: µm per pixel where a dataset or the user says so, else the file is asked.
        found: The file of its detections, if there is one.
        truth: Of `--truth`; None compares with the labels.
        positives_only: Of the labels: outside labelled regions only some nuclei are marked.
        note: What the page says of its labels, in sentences.
    """

    name: str
    path: Path
    labels: LabelFile
    mpp: float | None = None
    found: Path | None = None
    truth: Truth | None = None
    positives_only: bool = False
    note: str = ""


@dataclass(frozen=True)
class Opened:
    """All that one page shows.

    Attributes:
        title: Of the page.
        images: In the order of the list; at least one.
        classes: Names of nuclear classes of a dataset's card.
        cut_into: Folder of the dataset that labelled regions are cut out into; None for none.
    """

    title: str
    images: tuple[Shown, ...]
    classes: tuple[str, ...] = ()
    cut_into: Path | None = None
