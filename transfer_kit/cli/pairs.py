"""`transfer-kit pairs`: what is adapted to what, and whether the two go together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from transfer_kit.wording import counted

app = typer.Typer(
    name="pairs", help="Base and target together: list, show, check, add.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="The same for programs.")]
Name = Annotated[str, typer.Argument(help="The name of a pair, or its yaml.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All pairs that go by a name, and whether their images are on this machine."""
    from rich.console import Console
    from rich.table import Column, Table

    from transfer_kit.stores.datasets import list_datasets
    from transfer_kit.stores.pairs import list_pairs

    absent = {d.name for d in list_datasets() if d.root is None and d.origin != "embedded"}
    rows: list[dict[str, Any]] = []
    for stored in list_pairs():
        pair = stored.read()
        rows.append(
            {
                "name": stored.name,
                **pair.model_dump(mode="json", exclude={"name"}),
                "not_here": [name for name in pair.sources if name in absent],
                "ships": stored.ships,
                "path": str(stored.path),
            }
        )
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(Column("pair", no_wrap=True), "base", "target", "images", box=None)
    for row in rows:
        here = "not here" if row["not_here"] else "here"
        table.add_row(row["name"], row["base"], row["target"], here)
    console = Console()
    console.print(table)
    console.print("\nAre the two alike: transfer-kit pairs show NAME")


@app.command()
def show(
    name: Name,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write a PNG with the organs side by side.")
    ] = None,
    as_json: Json = False,
) -> None:
    """How far apart the organs of a pair are, in stain, nuclear size and density."""
    from rich.console import Console

    from transfer_kit.cli.pair_tables import organ_lines, print_members, print_organs
    from transfer_kit.data.organ_sheet import SheetColumn, organ_sheet
    from transfer_kit.stores.pair_figures import measure_pair, pair_organs
    from transfer_kit.stores.pair_members import find_members
    from transfer_kit.stores.pairs import find_pair

    members = find_members(find_pair(name))
    organs = pair_organs(members)
    with Console(stderr=True).status("Measuring the images"):
        measured = measure_pair(organs)
        if sheet is not None:
            columns = [
                SheetColumn(organ_lines(each), organ.samples)
                for each, organ in zip(measured, organs, strict=True)
            ]
            organ_sheet(columns, sheet)
    notes = [f"{organ.name}: {organ.note}" for organ in organs if organ.note]
    if as_json:
        document = {
            "pair": members.pair.model_dump(mode="json"),
            "organs": [each.as_dict() for each in measured],
            "notes": notes,
            "sheet": None if sheet is None else str(sheet),
        }
        print(json.dumps(document))
        return
    console = Console()
    print_members(members, console)
    print_organs(measured, console)
    for note in notes:
        console.print(f"[yellow]Note:[/] {note}.")
    if sheet is not None:
        console.print(f"Side by side: {sheet}", soft_wrap=True)


@app.command()
def check(name: Name, as_json: Json = False) -> None:
    """Find what a pair learns from and is tested on, too: patients, and pictures.

    Exits with 0 where there is no leak (warnings may be there), with 1 where there is one, and
    with 2 where the pair itself cannot be used.
    """
    from rich.console import Console

    from transfer_kit.cli.pair_tables import findings_table
    from transfer_kit.stores.pair_leaks import check_pair
    from transfer_kit.stores.pair_members import find_members
    from transfer_kit.stores.pairs import find_pair

    members = find_members(find_pair(name))
    with Console(stderr=True).status("Comparing patients and pictures"):
        findings = check_pair(members)
    errors = sum(finding.severity == "error" for finding in findings)
    test = members.target.split("test")
    if as_json:
        counts = {"test_images": len(test), "test_cases": len(test.cases), "errors": errors}
        rows = [vars(finding) for finding in findings]
        print(json.dumps({"pair": members.pair.title, **counts, "findings": rows}))
    else:
        console = Console()
        if findings:
            console.print(findings_table(findings))
        console.print(
            f"{members.pair.title}: {counted(len(test), 'test image')} of "
            f"{counted(len(test.cases), 'case')}, {counted(errors, 'leak')}, "
            f"{counted(len(findings) - errors, 'warning')}."
        )
    if errors:
        raise typer.Exit(1)


@app.command()
def add(
    file: Annotated[
        Path | None, typer.Argument(help="The yaml of a pair, if there is one.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call it; BASE-TARGET.")] = None,
    base: Annotated[str | None, typer.Option(help="A model name, an organ or a file.")] = None,
    target: Annotated[str | None, typer.Option(help="An organ, dataset or folder.")] = None,
    auxiliary: Annotated[
        list[str] | None, typer.Option(help="Learned from beside the target; may be repeated.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Over an older one.")] = False,
    as_json: Json = False,
) -> None:
    """Keep a pair under a name; options go before what the yaml says.

    A pair whose base or auxiliary sources know patients of the target's test is refused.
    """
    from rich.console import Console

    from transfer_kit.stores.pair_leaks import refuse_leaks
    from transfer_kit.stores.pair_members import find_members
    from transfer_kit.stores.pairs import add_pair, pair_of_options

    given = {"name": name, "base": base, "target": target, "auxiliary": auxiliary}
    fields = {key: value for key, value in given.items() if value is not None}
    pair = pair_of_options(fields, file)
    refuse_leaks(find_members(pair))
    stored = add_pair(pair, replace=replace)
    if as_json:
        print(json.dumps({"name": stored.name, "path": str(stored.path)}))
        return
    console = Console()
    console.print(f"{stored.name} is known now: {stored.path}", soft_wrap=True)
    console.print(f"Next: transfer-kit pairs check {stored.name}")
