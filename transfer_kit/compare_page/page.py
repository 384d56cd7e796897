"""The page itself: one HTML file that needs nothing else, no network and no script."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import transfer_kit
from transfer_kit.compare_page.charts import MOST, curve_chart, interval_chart
from transfer_kit.compare_page.entry import Entry, Gathered
from transfer_kit.compare_page.pictures import Row
from transfer_kit.files import replacing
from transfer_kit.wording import counted

_LONG = 9
"""Characters of a number from which on it is rounded."""


@dataclass(frozen=True)
class _Line:
    """A row of the first table."""

    letter: str
    name: str
    cells: tuple[str, ...]
    against_first: str


def write_page(gathered: Gathered, rows: Sequence[Row], why_no_pictures: str, path: Path) -> None:
    """Write the page whole or not at all.

    Args:
        gathered: What it shows.
        rows: The test images with each detector's detections.
        why_no_pictures: In words, where there are none.
        path: The file; its folder is made.

    Raises:
        UserError: the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("transfer_kit.compare_page", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    entries = gathered.entries
    headings, lines = _figures(entries)
    text = environment.get_template("page.html.jinja").render(
        title=_title(gathered),
        tested=_tested(entries),
        sections=[
            (section, [(name, _png(file)) for name, file in section.figures.items()])
            for section in gathered.sections
        ],
        headings=headings,
        lines=lines,
        paired_to=gathered.paired_to,
        # Both are drawn here, of numbers and of names that matplotlib escapes.
        intervals=Markup(interval_chart(entries)),  # noqa: S704
        curves=Markup(curve_chart(entries)),  # noqa: S704
        n_curves_left_out=max(0, sum(len(entry.curves) for entry in entries) - MOST),
        letters=[entry.letter for entry in entries],
        tables={title: _short(table) for title, table in gathered.tables.items() if table},
        wide=len(entries) <= MOST,
        rows=rows,
        why_no_pictures=why_no_pictures,
        written=time.strftime("%Y-%m-%d %H:%M"),
        version=transfer_kit.__version__,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _title(gathered: Gathered) -> str:
    targets = sorted({entry.recipe.target for entry in gathered.entries})
    where = f" on {targets[0]}" if len(targets) == 1 else ""
    return f"{counted(len(gathered.entries), 'training')} compared{where}"


def _tested(entries: Sequence[Entry]) -> str:
    """What the test figures are of, where it is the same for all."""
    told = {
        (test["n_images"], test.get("n_cases"), test["n_nuclei"], test["radius_um"])
        for entry in entries
        if (test := entry.test)
    }
    if len(told) != 1:
        return "They were not all tested on the same images: compare with care." if told else ""
    ((images, cases, nuclei, radius_um),) = told
    of_cases = f" of {counted(cases, 'case')}" if cases else ""
    return (
        f"{counted(images, 'test image')}{of_cases}, {counted(nuclei, 'nucleus')}, matched within "
        f"{radius_um:g} µm."
    )


def _figures(entries: Sequence[Entry]) -> tuple[list[str], list[_Line]]:
    """The headings of the first table and its rows; columns that nobody has are left out."""
    told: list[Mapping[str, str]] = [_figures_of(entry) for entry in entries]
    headings = list(dict.fromkeys(name for each in told for name in each))
    lines = [
        _Line(
            entry.letter,
            entry.name,
            tuple(each.get(name, "–") for name in headings),
            entry.against_first,
        )
        for entry, each in zip(entries, told, strict=True)
    ]
    return headings, lines


def _figures_of(entry: Entry) -> dict[str, str]:
    test, told = entry.test, dict[str, str]()
    if test.get("f1") is not None:
        low, high = test.get("f1_low"), test.get("f1_high")
        told["F1"] = f"{test['f1']:.3f}"
        told["95 % interval"] = "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    for title, name in (("precision", "precision"), ("recall", "recall"), ("class F1", "class_f1")):
        if test.get(name) is not None:
            told[title] = f"{test[name]:.3f}"
    if test.get("distance_median") is not None:
        told["median distance"] = f"{test['distance_median']:.2f} µm"
    for title, name in (("AJI", "aji"), ("PQ", "pq")):
        if entry.whole.get(name) is not None:
            told[title] = f"{entry.whole[name]:.3f}"
    return {**told, **entry.facts}


def _short(table: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Long numbers with five digits, where they can still be told apart."""
    shown = {}
    for name, values in table.items():
        short = [_rounded(value) for value in values]
        shown[name] = short if len(set(short)) == len(set(values)) else list(values)
    return shown


def _rounded(value: str) -> str:
    try:
        return f"{float(value):.5g}" if "." in value and len(value) > _LONG else value
    except ValueError:
        return value


def _png(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
