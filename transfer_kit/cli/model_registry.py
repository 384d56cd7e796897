"""`transfer-kit models push`, `pull` and `promote`: detectors in a lab's model registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from transfer_kit.tracking.registry import Registry, Version

Json = Annotated[bool, typer.Option("--json", help="The same for programs.")]
Store = Annotated[
    str | None, typer.Option(help="A sqlite file or address, in place of MLFLOW_TRACKING_URI.")
]


def push(
    name: Annotated[str, typer.Argument(metavar="NAME_OR_RUN", help="A model, file or run.")],
    called: Annotated[
        str | None, typer.Option("--name", help="What to call it in the registry.")
    ] = None,
    alias: Annotated[str | None, typer.Option("--as", help="Give it an alias: champion.")] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Register a detector, as a new version of its name."""
    from transfer_kit.run_folder import OPTIONS, read_options
    from transfer_kit.stores.models import find_weights
    from transfer_kit.stores.registered import push_model
    from transfer_kit.weights_file import read_card

    weights = find_weights(name)
    options = read_options(weights.parent) if (weights.parent / OPTIONS).is_file() else {}
    registry = _registry(store)
    version = push_model(
        weights,
        called or read_card(weights).name,
        registry,
        run_id=str(options.get("mlflow_run_id", "")),
    )
    if alias is not None:
        version = registry.promote(version.name, version.number, alias)
        version = registry.find(f"{version.name}/{version.number}")
    if as_json:
        print(json.dumps(_as_dict(version)))
        return
    at = f"@{alias}" if alias else f"/{version.number}"
    print(f"{version} is in the registry. Get it with: transfer-kit models pull {version.name}{at}")


def pull(
    wanted: Annotated[
        str, typer.Argument(metavar="NAME@ALIAS", help="Or NAME/VERSION, or NAME: the newest.")
    ],
    name: Annotated[str | None, typer.Option(help="What to call it here.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Over other weights.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Bring a registered detector into your store, with its card and its hash checked."""
    from transfer_kit.stores.registered import pull_model

    registry = _registry(store)
    version = registry.find(wanted)
    model = pull_model(version, registry, name=name, replace=replace)
    if as_json:
        print(json.dumps({**_as_dict(version), "model": model.name, "path": str(model.weights)}))
        return
    print(f"{version} is in the store as {model.name}: {model.weights}")
    if not version.sha256:
        print("It was registered without a hash, so only its card was checked.")


def promote(
    name: Annotated[str, typer.Argument(help="A registered model.")],
    number: Annotated[str, typer.Argument(metavar="VERSION", help="Of it: 3.")],
    alias: Annotated[str, typer.Option("--as", help="The alias, such as champion.")],
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Let an alias point to a version of a registered model."""
    registry = _registry(store)
    version = registry.promote(name, number, alias)
    if as_json:
        print(json.dumps(_as_dict(registry.find(f"{name}/{number}"))))
        return
    print(f"{name}@{alias} is {version} now.")


def add_to(app: typer.Typer) -> None:
    """Make them commands of `transfer-kit models`."""
    for command in (push, pull, promote):
        app.command()(command)


def _registry(store: str | None) -> Registry:
    from transfer_kit.cli.ui import chosen_store
    from transfer_kit.tracking.registry import Registry
    from transfer_kit.tracking.store import open_client

    uri = chosen_store(store)
    return Registry(open_client(uri), uri)


def _as_dict(version: Version) -> dict[str, object]:
    return {
        "name": version.name,
        "version": version.number,
        "sha256": version.sha256,
        "mlflow_run_id": version.run_id,
        "aliases": list(version.aliases),
    }
