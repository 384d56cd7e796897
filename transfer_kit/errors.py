"""The errors that a user can cause, and the words that help them mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """What was wrong, where, and the mend, in one sentence; the command line exits with 2."""


class NotFiniteMapsError(UserError):
    """A network's maps hold infinities or NaN: its weights are broken."""


def nearest_hint(word: str, known: Iterable[str]) -> str:
    """A sentence naming the nearest of `known` to `word`, else all that is known.

    Example:
        >>> nearest_hint("brest", ["breast", "eye"])
        "Did you mean 'breast'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known are: {', '.join(names)}." if names else "None is known yet."
