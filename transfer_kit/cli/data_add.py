"""`transfer-kit data add`: a folder of images becomes a dataset that goes by a name."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_kit.errors import UserError
from transfer_kit.wording import counted

if TYPE_CHECKING:
    from transfer_kit.data.dataset import Dataset


def add(
    folder: Annotated[Path, typer.Argument(help="A folder of images and annotations.")],
    name: Annotated[str | None, typer.Option(help="What to call it; the folder's name.")] = None,
    organ: Annotated[str | None, typer.Option(help="Such as breast or eye.")] = None,
    species: Annotated[str | None, typer.Option(help="Such as human.")] = None,
    stain: Annotated[str | None, typer.Option(help="Such as H&E.")] = None,
    mpp: Annotated[float | None, typer.Option(help="µm per pixel: 0.25 at 40×.")] = None,
    licence: Annotated[str | None, typer.Option(help="Such as CC BY 4.0, or private.")] = None,
    case_pattern: Annotated[
        str | None,
        typer.Option(help="Regular expression on the image's path; its group is the patient."),
    ] = None,
    annotations: Annotated[
        str | None, typer.Option(help="Where they are, such as 'labels/{stem}_mask.png'.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Their format, where it is not seen.")] = None,
    only_annotated: Annotated[
        bool, typer.Option("--only-annotated", help="Leave out images until they are annotated.")
    ] = False,
    test_case: Annotated[
        list[str] | None, typer.Option(help="A case for the test; may be repeated.")
    ] = None,
    predicted: Annotated[
        Path | None,
        typer.Option(help="The folder of predictions that the labels began as, to compare with."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Over an older card.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
) -> None:
    """Write dataset.yaml for a folder, asking what the files do not tell, and know it by name.

    What the lab's datasets are tested on stays in the test, also in a folder of another name.
    """
    from rich.console import Console

    from transfer_kit.cli.data_origins import in_words
    from transfer_kit.data.card import DatasetCard
    from transfer_kit.stores.datasets import find_dataset

    if predicted is not None and not predicted.is_dir():
        raise UserError(f"{predicted} is no folder; check --predicted.")
    given = {
        "name": name,
        "organ": organ,
        "species": species,
        "stain": stain,
        "mpp": mpp,
        "licence": licence,
        "case_pattern": case_pattern,
        "annotations": annotations,
        "format": format,
        "only_annotated": only_annotated or None,
    }
    fields = {key: value for key, value in given.items() if value is not None}
    notes: list[str] = []
    path = _added(folder, fields, test_case or [], replace, notes)
    card = DatasetCard.read(path)
    origins = _origins(find_dataset(card.name), predicted, notes)
    if as_json:
        document = {"name": card.name, "path": str(path), "card": card.model_dump(mode="json")}
        print(json.dumps({**document, "notes": notes, **origins}))
        return
    console = Console()
    for line in (*notes, in_words(origins)):
        if line:
            console.print(line, soft_wrap=True, highlight=False, markup=False)
    console.print(f"{card.name} is known now; its card is {path}", soft_wrap=True)
    console.print(f"Next: transfer-kit data check {card.name} --sheet {card.name}.png")


def _added(
    folder: Path, fields: dict[str, Any], test_cases: list[str], replace: bool, notes: list[str]
) -> Path:
    """The path of the card, written anew or there already; `notes` is told what was inferred."""
    from transfer_kit.data.card import CARD_NAME
    from transfer_kit.data.proposal import propose_card
    from transfer_kit.stores.datasets import add_dataset, register

    if (folder / CARD_NAME).exists() and not fields and not replace:
        return register(folder, test_cases=test_cases, note=notes.append)
    proposal = propose_card(
        folder,
        annotations=fields.get("annotations"),
        format=fields.get("format"),
        case_pattern=fields.get("case_pattern"),
    )
    fields = {**proposal.fields, **fields}
    missing = [question for question in proposal.questions if question.field not in fields]
    notes += proposal.notes
    if proposal.unannotated and not fields.get("only_annotated"):
        count = proposal.unannotated
        others = "image" if count == 1 else counted(count, "image")
        notes.append(
            f"Annotate the other {others} before training, or leave out what has no annotations "
            "with 'only_annotated: true' in dataset.yaml (--only-annotated here)."
        )
    fields |= _ask(folder, {question.field: question.text for question in missing})
    return add_dataset(folder, fields, replace=replace, test_cases=test_cases, note=notes.append)


def _origins(dataset: Dataset, predicted: Path | None, notes: list[str]) -> dict[str, Any]:
    """Where the labels came from; what cannot be read becomes a note, and is the check's affair."""
    from transfer_kit.cli.data_origins import compare_with, told_origins

    if predicted is not None:
        return compare_with(dataset, predicted)
    try:
        return told_origins(dataset)
    except UserError as error:
        notes.append(str(error))
        return {}


def _ask(folder: Path, questions: Mapping[str, str]) -> dict[str, Any]:
    """The answers, from the terminal; without one, all that is missing in one sentence."""
    if questions and not _at_a_terminal():
        options = " ".join(f"--{field} …" for field in questions)
        raise UserError(f"The files in {folder} do not tell {', '.join(questions)}; add {options}.")
    return {
        field: typer.prompt(text, type=float if field == "mpp" else str, err=True)
        for field, text in questions.items()
    }


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()
