"""Random streams that depend on names alone."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(*names: str | int) -> np.random.Generator:
    """The stream called `names`; equal names give equal numbers on every machine.

    Each part of a drawing has a stream of its own, so that a change to one leaves the others.
    """
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
