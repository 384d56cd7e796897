"""A summary as people read it."""

from __future__ import annotations

from transfer_kit.inference.outputs.summary import ALL, ClassCount, Summary

HEADER = ("where", "what", "nuclei", "per mm², with its 95 % interval")


def table_rows(summary: Summary) -> list[tuple[str, str, str, str]]:
    """A row under `HEADER` for each class and region, the Ki67 index and the hottest field."""
    rows = []
    for region in summary.regions:
        where = f"{region.name} ({region.area_mm2:.2f} mm²)"
        rows += [(where, row.name, f"{row.count:,}", _density(row)) for row in region.classes]
        if region.ki67 is not None:
            share = region.ki67
            of = f"{share.n_positive:,} of {share.n_tumour:,}"
            figure = _ranged(share.index, share.fields_low, share.fields_high, percent=True)
            rows.append((where, "Ki67 index", of, figure))
    field = summary.hottest
    if field is not None:
        where = f"hottest {field.area_mm2:g} mm², at x {field.x:.0f}, y {field.y:.0f}"
        rows.append((where, summary.mitosis or ALL, f"{field.count:,}", ""))
    return rows


def _density(row: ClassCount) -> str:
    return _ranged(row.per_mm2, row.per_mm2_low, row.per_mm2_high)


def _ranged(
    value: float | None, low: float | None, high: float | None, *, percent: bool = False
) -> str:
    if value is None:
        return "–"
    said = [f"{x:.1%}" if percent else f"{x:,.1f}" for x in (value, low, high) if x is not None]
    return said[0] if len(said) < 3 else f"{said[0]} ({said[1]} to {said[2]})"
