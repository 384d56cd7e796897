"""What may be frozen, as recipes and the command line write it: counts, names, schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Names: TypeAlias = tuple[str, ...]
"""Names of blocks, with globs: `("input", "down*")`."""

Frozen: TypeAlias = int | Names
"""What is frozen at one time: a count of blocks from the input, or names."""

Freeze: TypeAlias = int | Names | dict[int, int | Names]
"""The same throughout, or from each step of a schedule on."""


def parse_freeze(value: Any) -> Freeze:
    """A count, names or a schedule, as YAML or as the text of `--freeze`.

    Raises:
        ValueError: it is none of them; in the words that follow the field's name.

    Example:
        >>> parse_freeze("2"), parse_freeze("input, down*"), parse_freeze("0:8,500:0")
        (2, ('input', 'down*'), {0: 8, 500: 0})
    """
    if isinstance(value, str) and ":" in value:
        value = _entries(value)
    if not isinstance(value, Mapping):
        return _parse_frozen(value)
    if not value:
        raise ValueError("a schedule needs at least one step, such as {0: 8, 500: 0}")
    schedule: dict[int, Frozen] = {}
    for key, frozen in value.items():
        step = _step(key)
        if step in schedule:
            raise ValueError(f"the schedule names step {step} twice; keep one of the two")
        schedule[step] = _parse_frozen(frozen)
    return dict(sorted(schedule.items()))


def write_freeze(freeze: Freeze) -> str:
    """The text that `--freeze` takes, by which runs are named and tagged.

    Example:
        >>> write_freeze(2), write_freeze(("input", "down1")), write_freeze({0: 8, 500: ("up*",)})
        ('2', 'input,down1', '0:8,500:up*')
    """
    if isinstance(freeze, dict):
        return ",".join(f"{step}:{write_freeze(frozen)}" for step, frozen in freeze.items())
    return ",".join(freeze) if isinstance(freeze, tuple) else str(freeze)


def schedule_of(freeze: Freeze) -> dict[int, Frozen]:
    """What is frozen from each step on; before the first, nothing is."""
    return freeze if isinstance(freeze, dict) else {0: freeze}


def _entries(text: str) -> dict[str, str]:
    """`0:8,500:input,down1` as a mapping; what has no step goes on with the names before it."""
    entries: list[tuple[str, str]] = []
    for part in text.strip().strip("{}").split(","):
        step, colon, frozen = part.partition(":")
        if colon:
            entries.append((step.strip(), frozen.strip()))
        elif entries:
            entries[-1] = entries[-1][0], f"{entries[-1][1]},{part.strip()}"
        else:
            raise ValueError(f"{part.strip()!r} has no step; write a schedule as 0:8,500:4")
    steps = [step for step, _ in entries]
    if twice := next((step for step in steps if steps.count(step) > 1), None):
        raise ValueError(f"the schedule names step {twice} twice; keep one of the two")
    return dict(entries)


def _step(key: Any) -> int:
    number = _whole(key)
    if number is None or number < 0:
        raise ValueError(
            f"the step {key!r} of the schedule is no whole number from 0 on; write the step from "
            "which on so many blocks are frozen, as in {0: 8, 500: 4}"
        )
    return number


def _parse_frozen(value: Any) -> Frozen:
    number = _whole(value)
    if number is not None:
        if number < 0:
            raise ValueError(f"{number} blocks cannot be frozen; write a count from 0 on")
        return number
    names = value.split(",") if isinstance(value, str) else value
    if (
        isinstance(names, Sequence)
        and all(isinstance(name, str) and _is_name(name) for name in names)
        and names
    ):
        return tuple(name.strip() for name in names)
    raise ValueError(
        "write a count (2), names of blocks ('input,down*') or a schedule ({0: 8, 500: 4})"
    )


def _is_name(text: str) -> bool:
    """Whether it is no number, which stands for a count, and not empty."""
    try:
        float(text)
    except ValueError:
        return bool(text.strip())
    return False


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    try:
        return int(value) if isinstance(value, str) else None
    except ValueError:
        return None
