"""How a task ended, wherever it was carried out."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from transfer_kit.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How a task ended: without an error ("") or with one, in a sentence."""

    task: T
    error: str = ""


def attempt(task: T, work: Callable[[T], None]) -> str:
    """Do `work` on a task; gives the error in a sentence, with its traces where it is a fault."""
    try:
        work(task)
    except UserError as error:
        return " ".join(str(error).splitlines())
    except Exception as error:
        return f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    return ""


def note(outcome: Outcome[T], log: Path) -> None:
    """Add to a log what failed; what tasks themselves print is elsewhere."""
    if outcome.error:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{outcome.task}: {outcome.error}\n")
