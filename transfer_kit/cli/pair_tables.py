"""What `transfer-kit pairs` tells of a pair, its organs and its leaks."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table

from transfer_kit.data.check import Finding
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.organ_figures import OrganDistance, OrganFigures
from transfer_kit.stores.pair_figures import MeasuredOrgan
from transfer_kit.stores.pair_members import PairMembers
from transfer_kit.wording import counted


def print_members(members: PairMembers, console: Console) -> None:
    """What the pair names, as it was found."""
    pair, base = members.pair, members.base
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("pair", pair.title)
    if pair.description:
        table.add_row("about", pair.description)
    table.add_row("base", f"{base.name} ({base.organ}, {base.mpp:g} µm/px)" if base else "none")
    table.add_row("target", f"{_described(members.target)}: {_splits(members.target)}")
    for source in members.auxiliary:
        table.add_row("auxiliary", f"{_described(source)}: {counted(len(source.cases), 'case')}")
    for name, cases in pair.held_out.items():
        table.add_row("held out", f"{', '.join(cases)} of {name}")
    for name, names in pair.classes.items():
        said = ", ".join(f"{old} → {new or 'no class'}" for old, new in names.items())
        table.add_row("classes", f"of {name}: {said}")
    console.print(table)


def print_organs(measured: Sequence[MeasuredOrgan], console: Console) -> None:
    """The figures of each organ, and how far those other than the target are from it."""
    figures = Table(Column("organ", no_wrap=True), box=None, pad_edge=False)
    for title in ("images", "nuclei", "optical density\nof R, G, B"):
        figures.add_column(title)
    for title in ("diameter\nµm", "neighbour\nµm", "nuclei\nper mm²"):
        figures.add_column(title, justify="right")
    apart = Table(Column("to the target from", no_wrap=True), box=None, pad_edge=False)
    for title in ("stain\ndistance", "in its\nspreads", "hue\ndegrees"):
        apart.add_column(title, justify="right")
    for title in ("nuclei\nwider", "farther\napart", "more\nper mm²"):
        apart.add_column(title, justify="right")
    for each in measured:
        title = f"{each.figures.name}\n  {each.role}"
        figures.add_row(title, *_figures(each.figures))
        if each.distance is not None:
            apart.add_row(each.figures.name, *_apart(each.distance))
    console.print()
    console.print(figures)
    console.print()
    console.print(apart)
    if len({each.figures.diameter_from for each in measured} - {None}) > 1:
        console.print(
            "\nDiameters marked ~ are those of dark spots under the centres, the others those of "
            "outlines; that alone may make them differ by 25 %."
        )


def organ_lines(measured: MeasuredOrgan) -> tuple[str, ...]:
    """What stands above an organ on a sheet."""
    figures = measured.figures
    lines = [
        f"{measured.role}: {figures.name} ({figures.organ})",
        f"optical density {_channels(figures.density_mean)}",
        f"nuclei {_number(figures.diameter_um, '.1f')} µm wide, "
        f"{_number(figures.nuclei_per_mm2, ',.0f')} per mm²",
    ]
    if measured.distance is not None:
        lines.append(f"stain distance to the target {_number(measured.distance.stain, '.2f')}")
    return tuple(lines)


def findings_table(findings: Sequence[Finding]) -> Table:
    """Leaks and warnings, with their mends."""
    table = Table("", "rule", "what and how to mend it", show_lines=True)
    for finding in findings:
        leak = finding.severity == "error"
        severity = "[red]leak[/]" if leak else "[yellow]warning[/]"
        table.add_row(severity, finding.code, finding.message)
    return table


def _described(dataset: Dataset) -> str:
    card = dataset.card
    scales = sorted({sample.mpp for sample in dataset})
    synthetic = ", synthetic" if card.synthetic else ""
    return f"{card.name} ({card.organ}{synthetic}, {' and '.join(f'{s:g}' for s in scales)} µm/px)"


def _splits(dataset: Dataset) -> str:
    splits = [dataset.assignment.get(case, "") for case in dataset.cases]
    named = (("train", "training"), ("validation", "validation"), ("test", "test"))
    return ", ".join(f"{splits.count(split)} {words}" for split, words in named) + " cases"


def _figures(figures: OrganFigures) -> tuple[str, ...]:
    by_blobs = "~" if figures.diameter_from == "blobs" else ""
    return (
        f"{figures.n_images:,}",
        f"{figures.n_nuclei:,}",
        _channels(figures.density_mean),
        by_blobs + _number(figures.diameter_um, ".1f"),
        _number(figures.neighbour_um, ".1f"),
        _number(figures.nuclei_per_mm2, ",.0f"),
    )


def _apart(distance: OrganDistance) -> tuple[str, ...]:
    return (
        _number(distance.stain, ".2f"),
        _number(distance.stain_in_spreads, ".1f"),
        _number(distance.hue_degrees, ".1f"),
        _times(distance.diameter_ratio),
        _times(distance.neighbour_ratio),
        _times(distance.nuclei_ratio),
    )


def _channels(values: tuple[float, float, float] | None) -> str:
    return "–" if values is None else " ".join(f"{value:.2f}" for value in values)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _times(value: float | None) -> str:
    return "–" if value is None else f"× {value:.2f}"
