"""`transfer-kit models`: the detectors that are known by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from transfer_kit.cli import model_registry

app = typer.Typer(
    name="models",
    help="Detectors: list, show, add, verify, export; push, pull, promote in a registry.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="The same for programs.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All detectors, with their organ, their measured F1 and what their licence allows."""
    from rich.console import Console
    from rich.table import Column, Table

    from transfer_kit.cli.licences import in_a_word
    from transfer_kit.stores.models import list_models
    from transfer_kit.weights_file import read_card

    rows: list[dict[str, Any]] = []
    told = []
    for model in list_models():
        card = read_card(model.weights)
        own = card.measured[0].scores if card.measured else {}
        told.append(card.measured[0].in_words() if card.measured else "–")
        rows.append(
            {
                "name": model.name,
                "organ": card.organ,
                "organs": sorted({part.organ for part in card.data}) or [card.organ],
                "mpp": card.mpp,
                "network": card.network.name,
                "codec": card.codec.name,
                "f1": own.get("f1"),
                "f1_low": own.get("f1_low"),
                "f1_high": own.get("f1_high"),
                "licence": card.licence,
                "ships": model.ships,
                "path": str(model.weights),
            }
        )
    if as_json:
        print(json.dumps(rows))
        return
    name = Column("model", no_wrap=True)
    table = Table(name, "organ", "µm/px", "F1 (95 %)", "licence", box=None, pad_edge=False)
    for row, f1 in zip(rows, told, strict=True):
        licence = in_a_word(str(row["licence"]))
        organs = row["organs"]
        organ = str(row["organ"]) if len(organs) == 1 else f"{len(organs)} organs"
        table.add_row(str(row["name"]), organ, f"{row['mpp']:g}", f1, licence)
    console = Console()
    console.print(table)
    console.print("\nNetwork, codec, data and licences of one: transfer-kit models show NAME")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A model name, an organ or a file.")],
    as_json: Json = False,
) -> None:
    """The card of a detector."""
    from transfer_kit.stores.models import card_yaml, find_weights
    from transfer_kit.weights_file import read_card, weights_hash

    weights = find_weights(name)
    document = {
        "file": str(weights),
        "sha256": weights_hash(weights),
        **read_card(weights).model_dump(mode="json"),
    }
    print(json.dumps(document) if as_json else card_yaml(document), end="" if not as_json else "\n")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A run's detector.safetensors, or its folder.")],
    name: Annotated[str, typer.Option(help="What to call it.")],
    replace: Annotated[bool, typer.Option("--replace", help="Over an older one.")] = False,
) -> None:
    """Keep a detector in the store, so that `--base NAME` and `--model NAME` find it."""
    from transfer_kit.detector import Detector
    from transfer_kit.stores.models import add_model

    weights = file / "detector.safetensors" if file.is_dir() else file
    detector = Detector.load(weights)
    model = add_model(detector, name, replace=replace)
    print(f"{model.name} is in the store: {model.weights}")


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="A model name, an organ or a file.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Measure a detector again on the held-out cases of its card and compare.

    Exits with 1 where a figure lies outside the card's interval.
    """
    from rich.console import Console
    from rich.table import Table

    from transfer_kit.stores.verification import verify_model

    findings = verify_model(name, device=device)
    if as_json:
        print(json.dumps([finding.as_dict() for finding in findings]))
    else:
        table = Table("F1 measured on", "in the card", "now", "")
        for finding in findings:
            table.add_row(finding.dataset, finding.said, finding.found, finding.verdict)
        Console().print(table)
    if any(finding.failed for finding in findings):
        raise typer.Exit(1)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A model name, an organ, a file or a run folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    format: Annotated[
        str | None,
        typer.Option(
            help="onnx, openvino, torch-export or torchscript; else what the file's suffix means."
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="ONNX for images of this many pixels each way alone: for OpenCV, QuPath."
        ),
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="Also write the card inside the file, as JSON.")
    ] = None,
    onnx: Annotated[
        bool | None, typer.Option("--onnx/--torch", hidden=True, help="As --format once was.")
    ] = None,
) -> None:
    """Write a detector's network as a file that other programs run, checked against it.

    The card inside says how nuclei are found in its maps.
    """
    from transfer_kit.detector import Detector
    from transfer_kit.exporting import export_detector, exported_card
    from transfer_kit.files import replacing
    from transfer_kit.stores.models import find_weights

    if onnx is not None and format is None:
        format = "onnx" if onnx else "torch-export"
    detector = Detector.load(find_weights(name))
    difference = export_detector(detector, output, format=format, size_px=size)
    print(f"{output}: its maps differ from the network's by {difference:.1g} at most")
    if card is not None:
        with replacing(card) as temporary:
            temporary.write_text(exported_card(detector) + "\n", encoding="utf-8")
        print(f"{card}: the card, with how nuclei are found in the maps")
    if detector.card.normalise != "none":
        print(
            f"Not in the file: it expects images already brought to the stain of its card by "
            f"{detector.card.normalise} (see docs/stain.md)."
        )


model_registry.add_to(app)
