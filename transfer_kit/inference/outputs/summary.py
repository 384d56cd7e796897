"""What a slide's nuclei come to: counts and densities with intervals, Ki67, mitoses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.evaluation.labelling_index import labelling_index
from transfer_kit.evaluation.statistics import RESAMPLES, Interval
from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outputs.columns import area_mm2, record_of
from transfer_kit.inference.outputs.fields import (
    Floats,
    fields_of,
    percentiles,
    poisson_interval,
    resampled,
    side_for,
)
from transfer_kit.inference.outputs.hottest import HottestField, hottest_field

WHOLE = "searched area"
ALL = "all nuclei"
KI67 = ("immunopositive tumour", "immunonegative tumour")
"""Classes whose share is the Ki67 labelling index, unless others are named."""

INTERVALS = (
    "95 %: what as much tissue of the same kind might give. Fields of tissue are drawn "
    f"{RESAMPLES} times with replacement, and the exact Poisson interval is the least; missed and "
    "false nuclei are not in it."
)


@dataclass(frozen=True)
class ClassCount:
    """Nuclei of a class in a region; `None` where the area or the number of fields is too small."""

    name: str
    count: int
    count_low: float | None
    count_high: float | None
    per_mm2: float | None
    per_mm2_low: float | None
    per_mm2_high: float | None


@dataclass(frozen=True)
class Ki67Share:
    """The labelling index of a region.

    Attributes:
        index: Positive tumour nuclei among all tumour nuclei; None where there is none.
        n_positive: Positive ones.
        n_tumour: Both.
        counting_low: Lower end of Wilson's interval, which takes nuclei for independent.
        counting_high: Upper end.
        fields_low: Lower end of the interval over fields, which knows of hot spots.
        fields_high: Upper end.
    """

    index: float | None
    n_positive: int
    n_tumour: int
    counting_low: float | None
    counting_high: float | None
    fields_low: float | None
    fields_high: float | None


@dataclass(frozen=True)
class RegionSummary:
    """A named region, as far as it was searched; `field_um` is the side of its fields."""

    name: str
    area_mm2: float
    field_um: float
    n_fields: int
    classes: tuple[ClassCount, ...]
    ki67: Ki67Share | None


@dataclass(frozen=True)
class Summary:
    """What `summarise` found; the first region is the whole searched area."""

    facts: Mapping[str, Any]
    regions: tuple[RegionSummary, ...]
    mitosis: str | None
    hottest: HottestField | None
    intervals: str

    def as_dict(self) -> dict[str, Any]:
        """All figures under their names, ready for JSON."""
        return {**self.facts, **{k: v for k, v in asdict(self).items() if k != "facts"}}


def write_summary(
    path: Path,
    found: FoundNuclei,
    facts: SlideFacts,
    *,
    regions: Mapping[str, BaseGeometry] | None = None,
    ki67: tuple[str, str] = KI67,
    mitosis: str | None = None,
) -> list[Path]:
    """The figures of `summarise` as JSON.

    Raises:
        UserError: the detector knows no class `mitosis`, or the file cannot be written.
    """
    summary = summarise(found, facts, regions=regions, ki67=ki67, mitosis=mitosis)
    with replacing(path) as temporary:
        text = json.dumps(summary.as_dict(), indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return [path]


def summarise(
    found: FoundNuclei,
    facts: SlideFacts,
    *,
    regions: Mapping[str, BaseGeometry] | None = None,
    ki67: tuple[str, str] = KI67,
    mitosis: str | None = None,
    seed: int = 0,
) -> Summary:
    """Counts and densities by class and region, the Ki67 index, and the hottest 2 mm².

    Nuclei cluster, so a Poisson interval of a count would be too narrow: the intervals are those
    of a block bootstrap over fields (`fields.resampled`), but never narrower than Poisson's, which
    is all there is to say where none was found. With a single field there is none.

    Args:
        found: The nuclei.
        facts: The slide's scale, and where nuclei were looked for: densities are of that area.
        regions: Polygons by name, in pixels of level 0, which may cross themselves; only what was
            searched of them counts.
        ki67: Positive and negative class of the labelling index, given where the detector knows
            both.
        mitosis: The class of mitoses: where it is most frequent is told.
        seed: Seed of the bootstrap.

    Raises:
        UserError: the detector knows no class `mitosis`.
    """
    parts = [_region(WHOLE, found, facts.searched, facts.mpp, ki67, seed)]
    for name, drawn in (regions or {}).items():
        region = shapely.make_valid(drawn)
        x, y = found.points.astype(np.float64).T
        inside = np.asarray(shapely.intersects_xy(region, x, y), np.bool_)
        area = region.intersection(facts.searched)
        parts.append(_region(name, found.take(inside), area, facts.mpp, ki67, seed))
    hottest = None if mitosis is None else _hottest(found, facts, mitosis)
    return Summary(record_of(facts), tuple(parts), mitosis, hottest, INTERVALS)


def _hottest(found: FoundNuclei, facts: SlideFacts, mitosis: str) -> HottestField | None:
    if mitosis not in found.classes:
        hint = nearest_hint(mitosis, found.classes)
        raise UserError(f"{facts.model} has no class '{mitosis}' of mitoses. {hint}")
    which = found.kinds == found.classes.index(mitosis)
    return hottest_field(found.points[which], facts)


def _region(
    name: str,
    found: FoundNuclei,
    area: BaseGeometry,
    mpp: float,
    ki67: tuple[str, str],
    seed: int,
) -> RegionSummary:
    whole = area_mm2(area, mpp)
    side = side_for(whole)
    fields = fields_of(found, area, mpp, field_um=side)
    drawn = resampled(fields, seed=seed) if len(fields) > 1 else None
    counts = np.bincount(found.kinds, minlength=len(found.classes)).tolist()
    rows = [
        _class_count(label or ALL, count, whole, drawn and (drawn[0], drawn[1][:, k]))
        for k, (label, count) in enumerate(zip(found.classes, counts, strict=True))
    ]
    if len(rows) > 1:
        together = drawn and (drawn[0], drawn[1].sum(axis=1))
        rows.insert(0, _class_count(ALL, len(found), whole, together))
    share = _ki67(found.classes, counts, drawn, ki67)
    return RegionSummary(name, whole, side, len(fields), tuple(rows), share)


def _class_count(
    name: str, count: int, area: float, drawn: tuple[Floats, Floats] | None
) -> ClassCount:
    density = count / area if area else None
    if drawn is None:
        return ClassCount(name, count, None, None, density, None, None)
    low, high = percentiles(drawn[1] / drawn[0])
    poisson_low, poisson_high = poisson_interval(count)
    low, high = min(low or 0.0, poisson_low / area), max(high or 0.0, poisson_high / area)
    return ClassCount(name, count, low * area, high * area, density, low, high)


def _ki67(
    classes: Sequence[str],
    counts: Sequence[int],
    drawn: tuple[Floats, Floats] | None,
    names: tuple[str, str],
) -> Ki67Share | None:
    if not set(names) <= set(classes):
        return None
    at = [classes.index(name) for name in names]
    nuclei = chain.from_iterable(repeat(classes[k], counts[k]) for k in at)
    index = labelling_index(nuclei, positive=names[0], negative=names[1])
    over_fields = Interval(None, None)
    if drawn is not None:
        positive, tumour = drawn[1][:, at[0]], drawn[1][:, at].sum(axis=1)
        with np.errstate(invalid="ignore"):  # of resamples without a tumour nucleus
            over_fields = percentiles(positive / tumour)
    return Ki67Share(
        index.index, index.n_positive, index.n_tumour, index.low, index.high, *over_fields
    )
