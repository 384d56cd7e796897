"""`transfer-kit doctor`: what of this installation works, and the mend for what does not."""

from __future__ import annotations

import json
from typing import Annotated

import typer

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
) -> None:
    """Check the installation and say the mend; exits with 1 where a check failed."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from transfer_kit.diagnosis import diagnose

    with Console(stderr=True).status("Looking at the installation ..."):
        checks = diagnose()
    failed = [check for check in checks if check.status == "failed"]
    if as_json:
        print(json.dumps({"ok": not failed, "checks": [check.as_dict() for check in checks]}))
    else:
        table = Table(show_header=False, box=None, pad_edge=False)
        for check in checks:
            mend = f"\n[bold]Mend:[/] {escape(check.mend)}" if check.mend else ""
            status = f"[{_STYLES[check.status]}]{check.status}[/]"
            table.add_row(check.name, status, f"{escape(check.message)}{mend}")
        console = Console()
        console.print(table)
        n_warnings = sum(check.status == "warning" for check in checks)
        console.print(f"{len(checks)} checks; failed: {len(failed)}, warnings: {n_warnings}")
    if failed:
        raise typer.Exit(1)
