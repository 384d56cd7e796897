"""All commands, under one name."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from transfer_kit import __version__
from transfer_kit.cli import data, models, pairs, runs
from transfer_kit.cli.adapt import adapt
from transfer_kit.cli.compare import compare
from transfer_kit.cli.doctor import doctor
from transfer_kit.cli.evaluate import evaluate
from transfer_kit.cli.faults import Stopped
from transfer_kit.cli.finetune import finetune
from transfer_kit.cli.predict import predict
from transfer_kit.cli.rank import rank
from transfer_kit.cli.study import study
from transfer_kit.cli.suggest import suggest
from transfer_kit.cli.sweep import sweep
from transfer_kit.cli.ui import ui
from transfer_kit.cli.view import view


class _Commands(TyperGroup):
    """Typer would end a command in silence at Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped("Nothing was left half-written.") from None


app = typer.Typer(
    cls=_Commands,
    name="transfer-kit",
    help="Adapt a nucleus detector to a new organ with few labels, honestly measured.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(finetune)
app.command()(adapt)
app.command()(rank)
app.command()(suggest)
app.command()(study)
app.command()(compare)
app.command()(sweep)
app.command()(evaluate)
app.command()(predict)
app.command()(view)
app.add_typer(data.app)
app.add_typer(models.app)
app.add_typer(pairs.app)
app.add_typer(runs.app)
app.command()(ui)
app.command()(doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"transfer-kit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say it.")
    ] = False,
) -> None:
    """Adapt a nucleus detector to a new organ with few labels, honestly measured."""
