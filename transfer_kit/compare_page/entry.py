"""What the page shows of one training, wherever it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer_kit.recipe import Recipe
from transfer_kit.runs.finding import FoundRun

Point = Mapping[str, float]


def letters(count: int) -> list[str]:
    """A, B, C …, or numbers where the alphabet does not suffice."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return list(alphabet[:count]) if count <= len(alphabet) else [str(n + 1) for n in range(count)]


@dataclass(frozen=True)
class Entry:
    """One training: a run, or a trial of a study or sweep.

    Attributes:
        name: By which people know it.
        letter: By which the page refers to it.
        recipe: What it carried out.
        test: Figures on test images, as `DetectionScores.as_dict`; empty where it has none.
        whole: Of whole nuclei, as `SegmentationScores.as_dict`; empty where it has none.
        curves: Judged rounds of each of its trainings, by title.
        detector: The file of what it gave, where it is kept.
        run: Where the figures of its test images are, one by one: it can be tested in pairs.
        against_first: What a paired test against the first entry says, in words; empty without.
        facts: Further facts by title, such as labelled images or seconds.
    """

    name: str
    recipe: Recipe
    letter: str = ""
    test: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    detector: Path | None = None
    run: FoundRun | None = None
    against_first: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A study or sweep as a whole: what it found.

    Attributes:
        title: The question, or the name.
        sentence: What was found, with its extent.
        figures: PNG files, by caption.
        command: What makes it again.
    """

    title: str
    sentence: str
    figures: Mapping[str, Path]
    command: str


@dataclass(frozen=True)
class Gathered:
    """All that the page shows.

    Attributes:
        entries: In the order that was asked for.
        sections: Of studies and sweeps among them.
        tables: Values that differ between entries, by the table's title and the row's name.
        paired_to: The letter of what the others were tested against; empty where none were.
    """

    entries: tuple[Entry, ...]
    sections: tuple[Section, ...] = ()
    tables: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    paired_to: str = ""
