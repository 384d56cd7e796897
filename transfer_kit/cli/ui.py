"""`transfer-kit ui`: MLflow's web interface on the runs made here."""

from __future__ import annotations

import os
import signal
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_kit.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the pages are served.")] = 5000,
    host: Annotated[
        str, typer.Option(help="Who may look: this machine alone, or 0.0.0.0 for all.")
    ] = "127.0.0.1",
    store: Annotated[
        str | None,
        typer.Option(help="A sqlite file or address, in place of MLFLOW_TRACKING_URI."),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
    unsent: Annotated[
        bool, typer.Option("--send-unsent", help="First send what runs/ keeps unsent.")
    ] = False,
) -> None:
    """Look at runs side by side in the browser; Ctrl-C ends it (exit code 0)."""
    from transfer_kit.tracking.experiments import newest_experiment
    from transfer_kit.tracking.links import experiment_page, ui_root
    from transfer_kit.tracking.location import is_server, redacted
    from transfer_kit.tracking.server import serving

    uri = chosen_store(store)
    client = _client(uri, unsent)
    if unsent:
        _send_unsent(client, uri)
    newest = newest_experiment(client)
    if newest is None:
        raise UserError(_no_runs(redacted(uri)))
    page = experiment_page(ui_root(uri, port, host), newest)
    if is_server(uri):
        show_page(page, browser=not no_browser)
        return
    with _until_stopped():
        print(f"Starting MLflow on {redacted(uri)} ...", file=sys.stderr, flush=True)
        with serving(uri, host=host, port=port) as process:
            show_page(page, browser=not no_browser)
            print("Ctrl-C ends it.", file=sys.stderr, flush=True)
            process.wait()
            raise UserError("The MLflow server ended by itself; start `transfer-kit ui` again.")


def chosen_store(store: str | None) -> str:
    """The address that `--store` names, else MLflow's own variable or the working folder.

    Raises:
        UserError: MLflow does not know such an address.
    """
    from transfer_kit.tracking.location import checked_uri, sqlite_uri, store_uri

    if store is None:
        return store_uri()
    return checked_uri(store) if ":" in store else sqlite_uri(Path(store))


def _client(uri: str, unsent: bool) -> MlflowClient:
    from transfer_kit.tracking.location import SQLITE, sqlite_path
    from transfer_kit.tracking.store import open_client

    if uri.startswith(SQLITE) and not unsent and not sqlite_path(uri).exists():
        raise UserError(_no_runs(str(sqlite_path(uri))))
    return open_client(uri)


def _no_runs(where: str) -> str:
    return (
        f"There are no runs in {where} yet; `transfer-kit finetune --base breast --target eye` "
        "makes one here, and --store opens another store."
    )


def _send_unsent(client: MlflowClient, uri: str) -> None:
    from transfer_kit.cli.tell_sent import in_words
    from transfer_kit.tracking.unsent import send_unsent, unsent_files

    for sent in send_unsent(unsent_files([Path("runs")]), client, store=uri):
        print(in_words(sent), file=sys.stderr)


def show_page(page: str, *, browser: bool) -> None:
    """Tell the address of a page, and open it where there is a screen."""
    print(page, flush=True)
    # Without a screen, a text browser would take over the terminal.
    has_screen = sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if browser and has_screen:
        webbrowser.open(page)


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Ctrl-C, `kill` and a closed terminal all end the block, and with it the server."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
