"""The weight of the target's loss, as recipes and the command line write it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

Gamma: TypeAlias = float | dict[int, float]
"""The same throughout, or from each step of a schedule on."""


def parse_gamma(value: Any) -> Gamma:
    """A number or a schedule, as YAML or as the text of `--gamma`.

    Raises:
        ValueError: it is neither, not above 0 or not finite; in the words that follow the field's
            name.

    Example:
        >>> parse_gamma("5"), parse_gamma("0:20,500:5")
        (5.0, {0: 20.0, 500: 5.0})
    """
    if isinstance(value, str) and ":" in value:
        value = _entries(value)
    if not isinstance(value, Mapping):
        return _weight(value)
    if not value:
        raise ValueError("a schedule needs at least one step, such as {0: 20, 500: 5}")
    schedule = {_step(key): _weight(weight) for key, weight in value.items()}
    if len(schedule) < len(value):
        raise ValueError("the schedule names a step twice; keep one of the two")
    return dict(sorted(schedule.items()))


def write_gamma(gamma: Gamma) -> str:
    """The text that `--gamma` takes, by which runs are tagged.

    Example:
        >>> write_gamma(5.0), write_gamma({0: 20.0, 500: 2.5})
        ('5', '0:20,500:2.5')
    """
    if isinstance(gamma, dict):
        return ",".join(f"{step}:{weight:g}" for step, weight in gamma.items())
    return f"{gamma:g}"


def gamma_at(gamma: Gamma, step: int) -> float:
    """γ at a step, from 0 on; 1, that is naive pooling, before a schedule begins.

    Example:
        >>> [gamma_at({2: 5.0}, step) for step in range(4)]
        [1.0, 1.0, 5.0, 5.0]
    """
    if not isinstance(gamma, dict):
        return gamma
    begun = [begin for begin in gamma if begin <= step]
    return gamma[max(begun)] if begun else 1.0


def _entries(text: str) -> dict[str, str]:
    parts = [part.partition(":") for part in text.strip().strip("{}").split(",")]
    if any(not colon for _, colon, _ in parts):
        raise ValueError("write a schedule as 0:20,500:5")
    entries = {step.strip(): weight.strip() for step, _, weight in parts}
    if len(entries) < len(parts):
        raise ValueError("the schedule names a step twice; keep one of the two")
    return entries


def _step(key: Any) -> int:
    try:
        number = -1 if isinstance(key, bool | float) else int(key)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise ValueError(
            f"the step {key!r} of the schedule is no whole number from 0 on; write the step from "
            "which on a weight counts, as in {0: 20, 500: 5}"
        )
    return number


def _weight(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ValueError(
            "the target's loss needs a finite weight above 0, such as 5, or a schedule of such "
            "weights, as {0: 20, 500: 5}"
        )
    return number
