"""Ours beside the papers': Markdown, CSV and a figure.

They are made from the records. Lines of an earlier table of which no records are left stay.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from csv_lines import read_lines, write_lines
from records import Records
from summary import Line, lines_of

from studies import Study, studies
from transfer_kit.files import replacing

# Heading, our figure, the paper's; the first one is drawn.
COLUMNS = {
    "detection": [("F1", "f1"), ("precision", "precision"), ("recall", "recall")],
    "classes": [("class F1", "class_f1"), ("F1", "f1"), ("precision", "precision"),
                ("recall", "recall")],
    "segmentation": [("AJI", "aji"), ("Dice", "dice"), ("PQ", "pq")],
}  # fmt: skip

MARK = "†"
OPENING = """# Beside the papers

Written by `python benchmarks/papers --table docs/results/papers` from the records in papers/.
Rows of one table are trained on the same splits with equal budgets. Intervals are over images, or
over seeds where that is said.

![Ours with their intervals, and the paper's where they are of the same data]({})

"""
FOOTNOTE = f"{MARK} Measured earlier; no record of the single trainings is kept."


def write_tables(records: Records, output: Path) -> None:
    """`output`.md, .csv and .png of all records, and of what stood in `output`.csv without any."""
    earlier = read_lines(output.with_suffix(".csv"))
    each = [(study, lines_of(study, records, earlier[study.name])) for study in studies().values()]
    found = [(study, lines) for study, lines in each if lines]
    if not found:
        raise SystemExit(f"There are no records in {records.folder}: nothing has run to its end.")
    picture = output.with_suffix(".png")
    tables = "\n\n".join(_markdown(study, lines) for study, lines in found)
    text = f"{OPENING.format(picture.name)}{tables}\n"
    with replacing(output.with_suffix(".md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_lines(
        output.with_suffix(".csv"), [(study, line) for study, lines in found for line in lines]
    )
    _draw(found, picture)
    print(text)


def _columns(study: Study, lines: Sequence[Line]) -> list[tuple[str, str]]:
    columns = list(COLUMNS[study.measure])
    told = any(line.figures.get("class_f1") is not None for line in lines)
    return (
        [*columns, ("class F1", "class_f1")] if told and study.measure == "detection" else columns
    )


def _markdown(study: Study, lines: Sequence[Line]) -> str:
    columns = _columns(study, lines)
    distance = study.measure == "detection"
    head = ["", *(["labels"] if any(line.group for line in lines) else [])]
    head += [f"{columns[0][0]} (95 % interval)", *(name for name, _ in columns[1:])]
    head += ["distance in px: median (quartiles)"] if distance else []
    head += ["p against the first"] if study.measure == "segmentation" else []
    head += ["parts", "images / nuclei", "parameters", "CPU minutes a part"]
    head += [_paper(study)] if any(line.row.paper for line in lines) else []
    body = [_cells(study, line, columns, head) for line in lines]
    table = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *body)]
    notes = [study.notes] if study.notes else []
    notes += [FOOTNOTE] if any(line.carried for line in lines) else []
    wrapped = ["\n".join(textwrap.wrap(note, 105, break_on_hyphens=False)) for note in notes]
    return "\n\n".join([f"## {study.title}", "\n".join(table), *wrapped])


def _cells(
    study: Study, line: Line, columns: Sequence[tuple[str, str]], head: Sequence[str]
) -> list[str]:
    figures = line.figures
    main = columns[0][1]
    label = f"{line.row.label} {MARK}" if line.carried else line.row.label
    cells = [label, *([line.group] if "labels" in head else [])]
    cells += [f"**{_number(figures[main])}**{_interval(figures, main, line)}"]
    cells += [_number(figures.get(name)) for _, name in columns[1:]]
    if study.measure == "detection":
        cells += [_quartiles(figures)]
    if study.measure == "segmentation":
        cells += ["" if figures["p"] is None else f"{figures['p']:.2g}"]
    cells += [f"{line.done} of {line.wanted}", f"{figures['n_images']} / {figures['n_nuclei']:,}"]
    cells += [f"{line.parameters / 1e6:.2f} M", f"{line.minutes:.1f}"]
    if _paper(study) in head:
        names = {name: heading for heading, name in columns} | {"distance": "distance"}
        cells += [", ".join(f"{names[k]} {v}" for k, v in line.row.paper.items())]
    return cells


def _paper(study: Study) -> str:
    return f"paper, on {study.elsewhere}" if study.elsewhere else "paper"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(figures: dict[str, Any], name: str, line: Line) -> str:
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    if low is None or high is None:
        return ""
    return f" ({low:.3f} to {high:.3f}{', seeds' if line.spread == 'seeds' else ''})"


def _quartiles(figures: dict[str, Any]) -> str:
    median, q1, q3 = (figures[f"distance_{q}_px"] for q in ("median", "q1", "q3"))
    return "" if median is None else f"{median:.2f} ({q1:.2f} to {q3:.2f})"


def _draw(found: Sequence[tuple[Study, Sequence[Line]]], path: Path) -> None:
    """A panel a study: ours with its interval, and the paper's of the same data as a cross."""
    heights = [len(lines) + 2.5 for _, lines in found]
    figure, panels = plt.subplots(
        len(found), 1, figsize=(8, 0.28 * sum(heights) + 0.5),
        height_ratios=heights, squeeze=False, layout="constrained",
    )  # fmt: skip
    for axes, (study, lines) in zip(panels[:, 0], found, strict=True):
        heading, name = COLUMNS[study.measure][0]
        for place, line in enumerate(lines):
            _draw_line(axes, place, line, name)
            if name in line.row.paper and not study.elsewhere:
                axes.plot(line.row.paper[name], place, "x", color="tab:red")
        labels = [f"{line.row.label}  {line.group}".strip() for line in lines]
        axes.set_yticks(range(len(lines)), labels)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel(heading, fontsize=9)
        axes.set_title(study.title, loc="right", fontsize=9)
    panels[0, 0].plot([], [], "o", color="tab:blue", label="ours, 95 % interval")
    panels[0, 0].plot([], [], "x", color="tab:red", label="paper")
    figure.legend(loc="outside upper right", ncols=2, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)


def _draw_line(axes: Any, place: int, line: Line, name: str) -> None:
    value, low, high = (line.figures.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color="tab:blue", alpha=0.5, linewidth=3)
    axes.plot(value, place, "o", color="tab:blue")
