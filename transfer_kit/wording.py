"""Counts as people read them."""

from __future__ import annotations

_PLURALS = {"process": "processes", "nucleus": "nuclei"}


def counted(count: int, noun: str) -> str:
    """A number with its noun, which is given in the singular.

    Example:
        >>> counted(1, "test image"), counted(0, "nucleus"), counted(100000, "step")
        ('1 test image', '0 nuclei', '100,000 steps')
    """
    if count == 1:
        return f"1 {noun}"
    *before, last = noun.split(" ")
    return " ".join([f"{count:,}", *before, _PLURALS.get(last, f"{last}s")])
