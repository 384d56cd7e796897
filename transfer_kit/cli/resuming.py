"""Going on with an interrupted run, whichever command began it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_kit.errors import UserError

if TYPE_CHECKING:
    from transfer_kit.recipe import Recipe


def interrupted_recipe(folder: Path, fields: dict[str, object], recipe: str | None) -> Recipe:
    """The recipe of an interrupted run, which nothing may be laid over.

    Raises:
        UserError: something was, or the folder is none of a run.
    """
    from transfer_kit.recipe import Recipe

    if fields or recipe:
        raise UserError(
            "--resume goes on with the recipe in the run folder; leave out "
            f"{', '.join(sorted(fields) or ['--recipe'])}, or start a new run."
        )
    if not (folder / "recipe.yaml").is_file():
        raise UserError(f"{folder} is no run folder (it has no recipe.yaml); check the path.")
    return Recipe.read(folder / "recipe.yaml")


def how_to_go_on(command: str, folder: Path, device: str, devices: int | None = None) -> str:
    """What to type after a stop."""
    if not (folder / "recipe.yaml").is_file():
        return "Nothing was written yet."
    words = ["--resume", str(folder), *(["--device", device] if device != "auto" else [])]
    words += ["--devices", str(devices)] if devices else []
    return f"Go on with: transfer-kit {command} {shlex.join(words)}"
