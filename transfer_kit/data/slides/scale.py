"""µm per pixel that slides state, in whatever unit."""

from __future__ import annotations

import math

from transfer_kit.data.images import PLAUSIBLE_MPP

_NOT_SQUARE = 0.05
_UM_PER_UNIT = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("å", "angstrom"), 1e-4),
    **dict.fromkeys(("in", "inch"), 25400.0),
}


def stated_mpp(x: object, y: object, *, unit: str = "µm") -> float | None:
    """µm per pixel, from the sides of a pixel as a file states them.

    Args:
        x: Width of a pixel: a number, or text that holds one.
        y: Its height.
        unit: Name or sign of a unit of length.

    Returns:
        None where one of them is no number, where they differ by more than 5 %, or where their
        mean is no scale of tissue, outside 0.05..5 µm.
    """
    um = _UM_PER_UNIT.get(unit.strip().lower())
    sides = (_number(x), _number(y))
    if um is None or min(sides) <= 0 or max(sides) > min(sides) * (1 + _NOT_SQUARE):
        return None
    mpp = sum(sides) / 2 * um
    low, high = PLAUSIBLE_MPP
    return mpp if low <= mpp <= high else None


def _number(value: object) -> float:
    """0 for what is no finite number."""
    if isinstance(value, bool):
        return 0.0
    try:
        number = float(value)  # type: ignore[arg-type]  # anything else raises
    except (OverflowError, TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) else 0.0
