"""What an address asks for, beyond its path."""

from __future__ import annotations

import math

from starlette.requests import Request

from transfer_kit.viewer.cells import Window
from transfer_kit.viewer.refusal import Refused


def number_in(request: Request, name: str) -> float:
    """A finite number.

    Raises:
        Refused: it is missing or none.
    """
    try:
        value = float(request.query_params.get(name, ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Refused(400, f"{name} should be a number.")
    return value


def whole_number_in(request: Request, name: str) -> int:
    """A whole number of at least 1.

    Raises:
        Refused: it is missing or none.
    """
    value = number_in(request, name)
    if value < 1 or value != int(value):
        raise Refused(400, f"{name} should be a whole number of at least 1.")
    return int(value)


def window_in(request: Request) -> Window:
    """The part of the image that `left`, `top`, `right` and `bottom` name.

    Raises:
        Refused: one of them is missing or no number.
    """
    return Window(*(number_in(request, side) for side in ("left", "top", "right", "bottom")))


def hidden_in(request: Request) -> frozenset[int]:
    """Numbers of classes, with commas between them.

    Raises:
        Refused: they are none.
    """
    words = [word for word in request.query_params.get("hidden", "").split(",") if word]
    if not all(word.isdecimal() and len(word) < 6 for word in words):
        raise Refused(400, "hidden should be numbers of classes.")
    return frozenset(int(word) for word in words)
