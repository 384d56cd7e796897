"""`transfer-kit data`: list, show, check, add, split and convert datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from transfer_kit.cli.data_add import add
from transfer_kit.wording import counted

app = typer.Typer(
    name="data", help="Datasets: list, show, check, add, split, convert.", no_args_is_help=True
)
app.command()(add)

Json = Annotated[bool, typer.Option("--json", help="The same for programs.")]
Name = Annotated[str, typer.Argument(help="An organ, a dataset name, a folder or a yaml.")]
Sheet = Annotated[
    Path | None, typer.Option("--sheet", help="Write a PNG with all annotations drawn in.")
]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All datasets that go by a name, and whether their images are on this machine."""
    from rich.console import Console
    from rich.table import Column, Table

    from transfer_kit.cli.licences import in_a_word
    from transfer_kit.stores.datasets import list_datasets

    rows = []
    for stored in list_datasets():
        card = stored.card
        rows.append(
            {
                "name": stored.name,
                "origin": stored.origin,
                "organ": card.organ,
                "stain": card.stain,
                "mpp": card.mpp,
                "licence": card.licence,
                "synthetic": card.synthetic,
                "images": _where(stored.root, stored.origin),
                "source": card.source,
            }
        )
    if as_json:
        print(json.dumps(rows))
        return
    name = Column("dataset", no_wrap=True)
    table = Table(name, "organ", "stain", "licence", "images", box=None, pad_edge=False)
    for row in rows:
        embedded = row["origin"] == "embedded"
        here = embedded or Path(str(row["images"])).is_absolute()
        images = ("synthetic" if row["synthetic"] else "here") if here else "not here"
        licence = in_a_word(str(row["licence"]))
        table.add_row(str(row["name"]), str(row["organ"]), str(row["stain"]), licence, images)
    console = Console()
    console.print(table)
    console.print("\nScale, licence, cases and source of one: transfer-kit data show NAME")


def _where(root: Path | None, origin: str) -> str:
    if root is not None:
        return str(root)
    return "drawn on first use" if origin == "embedded" else "not on this machine"


@app.command()
def show(
    name: Name,
    sheet: Sheet = None,
    stain: Annotated[
        str | None,
        typer.Option(
            help="Write a PNG of what this does to the images: hed, jitter, randstainna, hestain, "
            "macenko, vahadane or reinhard. Its name is --sheet's, or DATASET-KIND.png."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="With --stain: a recipe's field, such as stain.factor=0.3."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Card, splits, cases and nuclei of a dataset, or what a stain setting does to its images."""
    from rich.console import Console

    from transfer_kit.cli.data_summary import print_summary, summary
    from transfer_kit.cli.stain import write_stain_sheet
    from transfer_kit.data.contact_sheet import contact_sheet
    from transfer_kit.stores.datasets import find_dataset

    dataset = find_dataset(name)
    document = {**summary(dataset), "card": dataset.card.model_dump(mode="json")}
    if stain is not None:
        sheet = sheet or Path(f"{dataset.name}-{stain}.png")
        document["sheet"] = str(write_stain_sheet(dataset, stain, sheet, set_ or []))
    elif sheet is not None:
        document["sheet"] = str(contact_sheet(dataset, sheet))
    if as_json:
        print(json.dumps(document))
        return
    console = Console()
    print_summary(dataset, document, console)
    if sheet is not None:
        console.print(f"Contact sheet: {sheet}", soft_wrap=True)


@app.command()
def check(
    name: Name,
    sheet: Sheet = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A rule not to apply, such as wrong-mpp.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find what ruins trainings: labels off the nuclei, a wrong scale, images in two splits.

    Exits with 0 where there is no error (warnings may be there), with 1 where there is one, and
    with 2 where the dataset cannot be opened at all.
    """
    from rich.console import Console
    from rich.table import Table

    from transfer_kit.data.check import check_dataset
    from transfer_kit.data.contact_sheet import contact_sheet
    from transfer_kit.stores.datasets import find_dataset

    dataset = find_dataset(name)
    findings = [found for found in check_dataset(dataset) if found.code not in (ignore or [])]
    errors = sum(finding.severity == "error" for finding in findings)
    written = str(contact_sheet(dataset, sheet)) if sheet else None
    if as_json:
        rows = [vars(finding) for finding in findings]
        document = {"name": dataset.name, "images": len(dataset), "errors": errors}
        print(json.dumps({**document, "findings": rows, "sheet": written}))
    else:
        console = Console()
        if findings:
            table = Table("", "rule", "what and how to mend it", show_lines=True)
            for finding in findings:
                colour = "red" if finding.severity == "error" else "yellow"
                severity = f"[{colour}]{finding.severity}[/]"
                table.add_row(severity, finding.code, finding.message)
            console.print(table)
        console.print(
            f"{dataset.name}: {counted(len(dataset), 'image')} of "
            f"{counted(len(dataset.cases), 'case')}, {counted(errors, 'error')}, "
            f"{counted(len(findings) - errors, 'warning')}."
        )
        if written:
            console.print(f"Contact sheet: {written}", soft_wrap=True)
    if errors:
        raise typer.Exit(1)


@app.command()
def split(
    name: Name,
    fractions: Annotated[
        str | None, typer.Option(help="Of training, validation and test, such as 0.6,0.2,0.2.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed deals the cases otherwise.")] = 0,
    validation_case: Annotated[
        list[str] | None, typer.Option(help="A case for validation; may be repeated.")
    ] = None,
    test_case: Annotated[
        list[str] | None, typer.Option(help="A case for the test; may be repeated.")
    ] = None,
    train_case: Annotated[
        list[str] | None, typer.Option(help="A case for training; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Deal the cases to training, validation and test, and write the lists into the card.

    Named cases go where they are named; the others are dealt by the fractions.
    """
    from rich.console import Console

    from transfer_kit.cli.data_summary import print_summary, summary
    from transfer_kit.data.dataset import Dataset
    from transfer_kit.data.splits import explicit_plan, parse_fractions
    from transfer_kit.stores.datasets import find_dataset, save_splits

    dataset = find_dataset(name)
    named = {"train": train_case, "validation": validation_case, "test": test_case}
    plan = explicit_plan(
        dataset.cases,
        named={split: cases or [] for split, cases in named.items()},
        fractions=parse_fractions(fractions or "0.6,0.2,0.2"),
        seed=seed,
    )
    path = save_splits(name, dataset, plan)
    changed = Dataset.open(path, root=dataset.root)
    document = summary(changed)
    if as_json:
        print(json.dumps({**document, "path": str(path)}))
        return
    console = Console()
    print_summary(changed, document, console)
    console.print(f"Written to {path}", soft_wrap=True)


@app.command()
def convert(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder.")],
    format: Annotated[str, typer.Option(help="geojson, csv, instances or coco.")] = "geojson",
    as_json: Json = False,
) -> None:
    """Copy a dataset into a folder of its own, with its annotations in another format."""
    from rich.console import Console

    from transfer_kit.data.convert import convert_dataset
    from transfer_kit.stores.datasets import find_dataset

    dataset = find_dataset(name)
    path = convert_dataset(dataset, output, format)
    if as_json:
        print(json.dumps({"path": str(path), "images": len(dataset), "format": format}))
        return
    written = f"{counted(len(dataset), 'image')} with {format} annotations"
    Console().print(f"{written}: {path}", soft_wrap=True)
