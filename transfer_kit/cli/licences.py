"""Licences in a word, as narrow tables show them; `show` gives them whole."""

from __future__ import annotations

import re

OPEN = re.compile(r"(cc0|cc[ -]by|mit|apache|bsd|odc|pddl|public domain)\b", re.IGNORECASE)
NON_COMMERCIAL = re.compile(r"\bnc\b|non-?commercial", re.IGNORECASE)
NO_DERIVATIVES = re.compile(r"\bnd\b", re.IGNORECASE)
LONGEST = len("non-commercial")


def in_a_word(licence: str) -> str:
    """What a licence, or several joined by " + ", comes to for the user.

    `open` where anything may be done (with attribution), `non-commercial` where that is refused,
    a short licence of another kind as it is, and `restricted` for all else.

    Example:
        >>> in_a_word("CC BY 4.0"), in_a_word("CC BY 4.0 + CC BY-NC-SA 4.0")
        ('open', 'non-commercial')
        >>> in_a_word("unstated (treat as research only)"), in_a_word("private + CC BY-NC 4.0")
        ('unstated', 'restricted')
    """
    words = {_of_one(part.strip()) for part in licence.split(" + ")}
    narrowest = words - {"open"} or words
    return narrowest.pop() if len(narrowest) == 1 else "restricted"


def _of_one(licence: str) -> str:
    if NON_COMMERCIAL.search(licence):
        return "non-commercial"
    if OPEN.match(licence) and not NO_DERIVATIVES.search(licence):
        return "open"
    short = licence.partition("(")[0].strip()
    return short if len(short) <= LONGEST else "restricted"
