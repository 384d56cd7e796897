"""What the parts of a row give together: folds pooled, seeds averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from parts import Part, parts_of
from records import Records

from studies import Row, Study
from transfer_kit.evaluation import evaluate, mean_over_seeds, signed_rank

# Of the published tables, and of ours.
DETECTION = ("f1", "precision", "recall", "class_f1")
SEGMENTATION = ("aji", "dice", "pq", "dq", "sq", "aji_plus", "pixel_f1")
DISTANCES = ("distance_median_px", "distance_q1_px", "distance_q3_px")


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        group: Such as `20 %` of the labels; empty where the study has one group.
        figures: By name; ends of an interval as `f1_low`, `f1_high`.
        done: Parts that ran, of `wanted`.
        spread: What the interval is of: images or cases of pooled folds, or seeds.
        carried: Whether the line comes from an earlier table, since its records are lost.
    """

    row: Row
    group: str
    figures: dict[str, Any]
    done: int
    wanted: int
    spread: str
    minutes: float
    parameters: int
    carried: bool = False


def lines_of(study: Study, records: Records, earlier: Sequence[Line] = ()) -> list[Line]:
    """A line for each row and group of which there is a record.

    Args:
        study: Whose rows.
        records: Of its trainings.
        earlier: Lines of the study's last table; those that are of more parts than there are
            records of are carried over.
    """
    measured: list[Line] = []
    groups = [line.group for line in earlier]
    if records.has(study.name):
        parts = parts_of(study.parts, dict(study.data))
        groups = [part.group for part in parts]
        measured = _measured(study, parts, records)
    done = {(line.row.name, line.group): line.done for line in measured}
    kept = [line for line in earlier if line.done > done.get((line.row.name, line.group), 0)]
    replaced = {(line.row.name, line.group) for line in kept}
    lines = [line for line in measured if (line.row.name, line.group) not in replaced]
    lines += [replace(line, carried=True) for line in kept]
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    rows = list(study.rows)
    return sorted(lines, key=lambda line: (places[line.group], rows.index(line.row.name)))


def _measured(study: Study, parts: Sequence[Part], records: Records) -> list[Line]:
    lines = []
    for group in dict.fromkeys(part.group for part in parts):
        own = [part for part in parts if part.group == group]
        for row in study.rows.values():
            line = _line(study, row, own, records)
            if line is not None:
                lines.append(line)
    if study.measure == "segmentation":
        return _with_signed_rank(study, lines, parts[0], records)
    return lines


def _line(study: Study, row: Row, parts: Sequence[Part], records: Records) -> Line | None:
    each = {part.name: records.result(study.name, row.name, part.name) for part in parts}
    results = {name: result for name, result in each.items() if result is not None}
    if not results:
        return None
    ran = [part for part in parts if part.name in results]
    disjoint = len({s.id for part in parts for s in part.test}) == sum(len(p.test) for p in parts)
    gave = list(results.values())
    if disjoint and len(ran) > 1:
        figures, spread = _pooled(ran, gave, records), "images"
    elif len(ran) > 1:
        figures, spread = _averaged(gave), "seeds"
    else:
        figures, spread = _single(gave[0]), "cases"
    return Line(
        row, parts[0].group, figures, len(ran), len(parts), spread,
        sum(r["cpu_seconds"] for r in gave) / 60 / len(gave), gave[0]["parameters"],
    )  # fmt: skip


def _pooled(
    parts: Sequence[Part], results: Sequence[dict[str, Any]], records: Records
) -> dict[str, Any]:
    """All folds as one set of images, each at the threshold of its own fold."""
    pairs = []
    for part, result in zip(parts, results, strict=True):
        found = records.predictions(result["study"], result["row"], part.name)
        pairs += found.beside(part.test)
    radius_um = results[0]["detection"]["radius_um"]
    return evaluate(pairs, radius_um=radius_um, threshold=0.0).as_dict()


def _averaged(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds with Student's interval, within what a score can be; counts of one seed."""
    each = [_single(result) for result in results]
    figures = dict(each[0])
    for name in (*DETECTION, *SEGMENTATION, *DISTANCES):
        values = [one.get(name) for one in each]
        if None not in values:
            mean = mean_over_seeds([float(value) for value in values])
            low, high = mean.low, mean.high
            if name not in DISTANCES and low is not None and high is not None:
                low, high = max(low, 0.0), min(high, 1.0)
            figures |= {name: mean.mean, f"{name}_low": low, f"{name}_high": high}
    return figures


def _single(result: dict[str, Any]) -> dict[str, Any]:
    return {**result["detection"], **(result["segmentation"] or {})}


def _with_signed_rank(
    study: Study, lines: Sequence[Line], part: Part, records: Records
) -> list[Line]:
    """Wilcoxon's test of the images' AJI against the study's first row, on the first part."""
    first = _aji(records.result(study.name, next(iter(study.rows)), part.name))
    tested = []
    for line in lines:
        own = _aji(records.result(study.name, line.row.name, part.name))
        is_first = line.row.name == next(iter(study.rows))
        p = signed_rank(first, own).p_value if first and own and not is_first else None
        tested.append(replace(line, figures={**line.figures, "p": p}))
    return tested


def _aji(result: dict[str, Any] | None) -> dict[str, float]:
    images = [] if result is None else result["segmentation"]["images"]
    return {image["id"]: image["aji"] for image in images}
