"""`transfer-kit finetune`: from a base to a target."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from transfer_kit.cli.devices import Devices, Nodes, following, meet, was_told
from transfer_kit.cli.resuming import how_to_go_on, interrupted_recipe
from transfer_kit.errors import UserError

if TYPE_CHECKING:
    from transfer_kit.plan import Plan
    from transfer_kit.recipe import Recipe

EVERYDAY = "everyday/finetune"


def finetune(
    base: Annotated[
        str | None,
        typer.Option(help="An organ, a model name, a file, auto (chosen by rank), or none."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="An organ, a dataset or a folder.")] = None,
    freeze: Annotated[
        str | None,
        typer.Option(
            help="Blocks frozen: a count from the input (2), names ('input,down*'), or what is "
            "frozen from each step on ('0:8,500:4,1000:0')."
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="How much of the labels: '20%', 5 images, '3 cases'.")
    ] = None,
    pair: Annotated[
        str | None,
        typer.Option(help="A pair's name or file, in place of --base, --target and --auxiliary."),
    ] = None,
    auxiliary: Annotated[
        str | None,
        typer.Option(help="Other organs or datasets to learn from, too: 'kidney + liver'."),
    ] = None,
    gamma: Annotated[
        str | None,
        typer.Option(
            help="Weight of the target's loss against theirs (5), or from each step on "
            "('0:20,500:5')."
        ),
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option(help="How much of the base's own training images to mix in: '10%'."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A recipe's file or name; the everyday one by default.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of it: train.steps=500.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of subsets, crops and weights.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    devices: Devices = None,
    nodes: Nodes = None,
    runs: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option(help="The folder of an interrupted run, to go on with.")
    ] = None,
    compare_scratch: Annotated[
        bool, typer.Option("--compare-scratch", help="Train from scratch too, with equal steps.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output.")] = False,
) -> None:
    """Adapt a detector to a target's few labels, and show what it gained over the base."""
    ends = {"base": base, "target": target, "auxiliary.sources": auxiliary}
    levers = {"freeze": freeze, "auxiliary.gamma": gamma, "auxiliary.replay": replay}
    fields = _fields({**ends, **levers, "pair": pair, "labels": labels, "seed": seed}, set_ or [])
    if resume is None:
        chosen, folder = _recipe(recipe or EVERYDAY, _of_pair(pair, ends) | fields), None
    else:
        chosen, folder = interrupted_recipe(resume, fields, recipe), resume
        compare_scratch = _compares_scratch(resume, compare_scratch)
    console = Console(stderr=as_json)

    from transfer_kit.cli.rank import settle_base
    from transfer_kit.cli.tell import tell_plan, tell_result
    from transfer_kit.plan import make_plan

    choice = settle_base(chosen, device=device)
    plan = choice.told_in(make_plan(choice.recipe))
    if compare_scratch and plan.base is None:
        raise UserError(
            "--compare-scratch compares a fine-tuning with a training from scratch, and "
            "--base none is one; leave one of the two out."
        )
    if not was_told():
        tell_plan(plan, console, compare_scratch=compare_scratch)
    if dry_run:
        if as_json:
            print(json.dumps(_planned(plan)))
        return

    from transfer_kit.cli.faults import Stopped
    from transfer_kit.run import follow_run, run_recipe
    from transfer_kit.run_folder import new_folder
    from transfer_kit.training import processes

    own_device = meet(devices, nodes, device, plan.recipe.train)
    folder = folder or processes.from_leader(lambda: new_folder(runs, plan))
    if not processes.leads():
        with following():
            follow_run(plan, folder, device=own_device, compare_scratch=compare_scratch)
        return
    try:
        result = run_recipe(plan, folder, device=own_device, compare_scratch=compare_scratch)
    except KeyboardInterrupt:
        raise Stopped(how_to_go_on("finetune", folder, device, devices)) from None
    processes.leave()
    tell_result(result, console)
    if as_json:
        print(json.dumps(result.as_dict()))


def _fields(named: dict[str, object], settings: list[str]) -> dict[str, object]:
    from transfer_kit.recipe import parse_setting

    given = {name: value for name, value in named.items() if value is not None}
    return given | dict(parse_setting(setting) for setting in settings)


def _of_pair(name: str | None, ends: Mapping[str, object]) -> dict[str, object]:
    """What a pair says, laid over the recipe's file."""
    if name is None:
        return {}
    for field, value in ends.items():
        if value is not None:
            raise UserError(
                f"--pair {name} says base, target and auxiliary sources; leave "
                f"--{field.partition('.')[0]} out."
            )
    from transfer_kit.pair_choice import fields_of
    from transfer_kit.stores.pairs import find_pair

    return fields_of(find_pair(name))


def _recipe(name: str, fields: dict[str, object]) -> Recipe:
    from transfer_kit.pair_choice import with_pair
    from transfer_kit.recipe import Recipe
    from transfer_kit.stores.recipes import find_recipe

    path = find_recipe(name)
    from transfer_kit.yaml_faults import parse_yaml

    if not {"target", "pair"} & {*fields, *parse_yaml(path)}:
        raise UserError(
            "No target is named; add --target with an organ, a dataset or a folder "
            "(see `transfer-kit data list`)."
        )
    chosen = with_pair(Recipe.read(path, **fields))
    _refuse_unknown(chosen)
    return chosen


def _refuse_unknown(recipe: Recipe) -> None:
    """Say that there is no such base or target before PyTorch is imported, which takes seconds."""
    from transfer_kit.pair_choice import targets_of
    from transfer_kit.stores.datasets import find_dataset
    from transfer_kit.stores.models import find_weights

    if recipe.base not in ("none", "auto"):
        find_weights(recipe.base)
    for name in targets_of(recipe):
        find_dataset(name)


def _compares_scratch(folder: Path, wanted: bool) -> bool:
    from transfer_kit.run_folder import read_options

    began_with = bool(read_options(folder)["compare_scratch"])
    if wanted and not began_with:
        raise UserError(
            "--resume goes on as the run began, which was without --compare-scratch; leave it out, "
            "or start a new run."
        )
    return began_with


def _planned(plan: Plan) -> dict[str, object]:
    return {
        "target": plan.recipe.target,
        "base": plan.recipe.base,
        "n_train_images": len(plan.train),
        "n_train_nuclei": plan.n_train_nuclei,
        "n_validation_images": len(plan.validation),
        "n_test_images": len(plan.test),
        "pair": None if plan.pair is None else plan.pair.title,
        "auxiliary": [
            {"name": source.name, "n_images": len(source.samples), "weight": source.weight}
            for source in plan.auxiliary
        ],
        "trainable_parameters": plan.trainable,
        "blocks": [asdict(block) for block in plan.blocks],
        "notes": list(plan.notes),
    }
