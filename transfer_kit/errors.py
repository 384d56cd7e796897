"""The errors that a user can cause, and the words that help them mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """What was wrong, where, and the mend, in one sentence; the command line exits with 2."""


class BadSlideError(UserError):
    """A slide or image that cannot be read; others may be."""


@contextmanager
def blaming_the_slide() -> Iterator[None]:
    """Let what a user must mend in this block be a `BadSlideError`."""
    try:
        yield
    except UserError as error:
        raise BadSlideError(str(error)) from error


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
