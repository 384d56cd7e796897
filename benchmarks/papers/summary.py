"""What the parts of a row give together: folds pooled, seeds averaged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parts import Part, parts_of
from predictions import read_predictions
from training import RESULT

from studies import Row, Study
from transfer_kit.evaluation import evaluate, mean_over_seeds, signed_rank

# Of the published tables, and of ours.
DETECTION = ("f1", "precision", "recall", "class_f1")
SEGMENTATION = ("aji", "dice", "pq", "dq", "sq", "aji_plus", "pixel_f1")


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        group: Such as `20 %` of the labels; empty where the study has one group.
        figures: By name; ends of an interval as `f1_low`, `f1_high`.
        done: Parts that ran, of `wanted`.
        spread: What the interval is of: images or cases of pooled folds, or seeds.
    """

    row: Row
    group: str
    figures: dict[str, Any]
    done: int
    wanted: int
    spread: str
    minutes: float
    parameters: int


def lines_of(study: Study, folder: Path) -> list[Line]:
    """A line for each row and group of which anything ran."""
    parts = parts_of(study.parts, dict(study.data))
    groups = list(dict.fromkeys(part.group for part in parts))
    lines = []
    for group in groups:
        own = [part for part in parts if part.group == group]
        for row in study.rows.values():
            line = _line(study, row, own, folder / study.name)
            if line is not None:
                lines.append(line)
    return _with_signed_rank(study, lines, folder) if study.measure == "segmentation" else lines


def _line(study: Study, row: Row, parts: Sequence[Part], folder: Path) -> Line | None:
    ran = [part for part in parts if (folder / row.name / part.name / RESULT).is_file()]
    if not ran:
        return None
    results = [json.loads((folder / row.name / part.name / RESULT).read_text()) for part in ran]
    disjoint = len({s.id for part in parts for s in part.test}) == sum(len(p.test) for p in parts)
    if disjoint and len(ran) > 1:
        figures, spread = _pooled(row, ran, results, folder), "images"
    elif len(ran) > 1:
        figures, spread = _averaged(results), "seeds"
    else:
        figures, spread = _single(results[0]), "cases"
    return Line(
        row, parts[0].group, figures, len(ran), len(parts), spread,
        sum(r["cpu_seconds"] for r in results) / 60 / len(results), results[0]["parameters"],
    )  # fmt: skip


def _pooled(
    row: Row, parts: Sequence[Part], results: Sequence[dict[str, Any]], folder: Path
) -> dict[str, Any]:
    """All folds as one set of images, each at the threshold of its own fold."""
    pairs = []
    for part, result in zip(parts, results, strict=True):
        found = read_predictions(folder / row.name / part.name, part.test)
        pairs += [replace(p, found=p.found.above(result["threshold"])) for p in found]
    radius_um = results[0]["detection"]["radius_um"]
    return evaluate(pairs, radius_um=radius_um, threshold=0.0).as_dict()


def _averaged(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds with Student's interval; counts are those of one seed."""
    each = [_single(result) for result in results]
    figures = dict(each[0])
    for name in (*DETECTION, *SEGMENTATION, *(f"distance_{q}_px" for q in ("median", "q1", "q3"))):
        values = [one.get(name) for one in each]
        if None not in values:
            mean = mean_over_seeds([float(value) for value in values])
            figures |= {name: mean.mean, f"{name}_low": mean.low, f"{name}_high": mean.high}
    return figures


def _single(result: dict[str, Any]) -> dict[str, Any]:
    return {**result["detection"], **(result["segmentation"] or {})}


def _with_signed_rank(study: Study, lines: Sequence[Line], folder: Path) -> list[Line]:
    """Wilcoxon's test of the images' AJI against the study's first row, on the first part."""
    part = parts_of(study.parts, dict(study.data))[0].name
    first: dict[str, float] | None = None
    tested = []
    for line in lines:
        path = folder / study.name / line.row.name / part / RESULT
        images = json.loads(path.read_text())["segmentation"]["images"]
        aji = {image["id"]: image["aji"] for image in images}
        p = None if first is None else signed_rank(first, aji).p_value
        first = first or aji
        tested.append(replace(line, figures={**line.figures, "p": p}))
    return tested
