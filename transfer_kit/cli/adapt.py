"""`transfer-kit adapt`: from a base to a target's images, without labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from transfer_kit.cli.resuming import how_to_go_on, interrupted_recipe
from transfer_kit.errors import UserError

if TYPE_CHECKING:
    from transfer_kit.adaptation import AdaptationPlan
    from transfer_kit.recipe import Recipe

SELF_TRAINING = "adaptation/self-training"


def adapt(
    base: Annotated[str | None, typer.Option(help="An organ, a model name or a file.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help="An organ, a dataset or a folder: its training images, without labels."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="A folder of bare images, in place of the target's or without one."),
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(min=0.01, max=20, help="µm per pixel of --images, where files lack it."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="A recipe's file or name; adaptation/self-training by default."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of it: train.steps=500.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of crops and their colours.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    runs: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option(help="The folder of an interrupted run, to go on with.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output.")] = False,
) -> None:
    """Adapt a detector to images without labels, and measure it where some are labelled.

    Annotations of the images are not read, and the base's threshold stays.
    """
    fields = _fields(base, target, images, mpp, seed, set_ or [])
    if resume is None:
        chosen, folder = _recipe(recipe or SELF_TRAINING, fields), None
    else:
        chosen, folder = interrupted_recipe(resume, fields, recipe), resume
    console = Console(stderr=as_json)

    from transfer_kit.adaptation import plan_adaptation
    from transfer_kit.cli.tell_adaptation import tell_adaptation, tell_adaptation_plan

    plan = plan_adaptation(chosen)
    tell_adaptation_plan(plan, console)
    if dry_run:
        if as_json:
            print(json.dumps(_planned(plan)))
        return

    from transfer_kit.adaptation_run import adapt_recipe
    from transfer_kit.cli.faults import Stopped
    from transfer_kit.run_folder import new_folder

    folder = folder or new_folder(runs, plan)
    try:
        result = adapt_recipe(plan, folder, device=device)
    except KeyboardInterrupt:
        raise Stopped(how_to_go_on("adapt", folder, device)) from None
    tell_adaptation(result, console)
    if as_json:
        print(json.dumps(result.as_dict()))


def _fields(
    base: str | None,
    target: str | None,
    images: Path | None,
    mpp: float | None,
    seed: int | None,
    settings: list[str],
) -> dict[str, object]:
    from transfer_kit.recipe import parse_setting

    if mpp is not None and images is None:
        raise UserError(
            "--mpp is of a folder of bare images, and --images names none; the scale of a dataset "
            "stands in its dataset.yaml."
        )
    named = {
        "base": base,
        "target": target if images is None else target or str(images),
        "adaptation.images": None if images is None else str(images),
        "adaptation.images_mpp": mpp,
        "seed": seed,
    }
    given = {name: value for name, value in named.items() if value is not None}
    return given | dict(parse_setting(setting) for setting in settings)


def _recipe(name: str, fields: dict[str, object]) -> Recipe:
    from transfer_kit.recipe import Recipe
    from transfer_kit.stores.recipes import find_recipe
    from transfer_kit.yaml_faults import parse_yaml

    path = find_recipe(name)
    if "target" not in fields and "target" not in parse_yaml(path):
        raise UserError(
            "There is nothing to adapt to; add --target with an organ or a dataset, or --images "
            "with a folder of images."
        )
    return Recipe.read(path, **fields)


def _planned(plan: AdaptationPlan) -> dict[str, object]:
    return {
        "target": plan.recipe.target,
        "base": plan.recipe.base,
        "adaptation": plan.recipe.adaptation.name,
        "n_unlabelled_images": len(plan.images),
        "n_test_images": len(plan.test),
        "threshold": plan.start.card.threshold,
        "notes": list(plan.notes),
    }
