"""Stain vectors as the staintools library finds them, for those who must match earlier work."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.vectors import Stains, Vectors, ordered, unit
from transfer_kit.errors import UserError

_EXTRACTORS = {
    "staintools-macenko": "MacenkoStainExtractor",
    "staintools-vahadane": "VahadaneStainExtractor",
}


def refuse_missing_staintools(method: str) -> None:
    """Refuse a method of staintools where it is not installed.

    Raises:
        UserError: it is not.
    """
    if method in _EXTRACTORS:
        _extractor(method)


def staintools_vectors(image: NDArray[np.uint8], method: str, stains: Stains) -> Vectors | None:
    """Stain vectors `(2, 3)` by staintools, haematoxylin first; None where it sees no tissue.

    Its Vahadane lets SPAMS run for one second of wall clock, so that the vectors depend on what
    else the machine does.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        method: `staintools-macenko` or `staintools-vahadane`.
        stains: Which two dyes the slide has.

    Raises:
        UserError: staintools is not installed.
    """
    extractor = _extractor(method)
    exceptions = importlib.import_module("staintools.miscellaneous.exceptions")
    try:
        found = extractor.get_stain_matrix(np.ascontiguousarray(image))
    except exceptions.TissueMaskException:
        return None
    return ordered(unit(np.asarray(found, np.float64)), stains)


def _extractor(method: str) -> Any:
    try:
        staintools = importlib.import_module("staintools")
    except ImportError as error:
        raise UserError(
            f"The stain method {method} needs the staintools library ({error}); install it with "
            "pip install 'transfer-kit[staintools]', or use "
            f"{method.removeprefix('staintools-')}."
        ) from None
    return getattr(staintools, _EXTRACTORS[method])
