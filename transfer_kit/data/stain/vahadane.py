"""Stain vectors by Vahadane et al. 2016: a sparse, non-negative dictionary of two dyes."""

from __future__ import annotations

import numpy as np

from transfer_kit.data.stain.concentrations import sparse_codes
from transfer_kit.data.stain.macenko import macenko_vectors
from transfer_kit.data.stain.tissue import TissueColours
from transfer_kit.data.stain.vectors import Stains, Vectors, ordered, unit

PENALTY = 0.1
"""λ of the concentrations, in natural optical density; staintools' `dictionary_regularizer`."""

_MOST_ITERATIONS = 100
_CONVERGED = 1e-5
_SWEEPS = 5


def vahadane_vectors(
    colours: TissueColours,
    stains: Stains,
    *,
    penalty: float = PENALTY,
    start: Vectors | None = None,
) -> Vectors:
    """Two unit stain vectors `(2, 3)`, haematoxylin first.

    Minimises Σ ½ |d − c·S|² + λ Σ c over concentrations c ≥ 0 and vectors S ≥ 0 of length at most
    1 (Vahadane et al., Structure-preserving color normalization and sparse stain separation for
    histological images, TMI 2016, equation 4), as staintools does through SPAMS. The codes are
    exact at each step, the vectors follow by block coordinate descent on the codes' second moments
    (Mairal et al. 2010, algorithm 2), at most 100 times: the result depends on the image alone,
    never on the machine or its load.

    Args:
        colours: Of the tissue, at least two.
        stains: Which the two are.
        penalty: λ.
        start: Where the descent begins; Macenko's vectors by default.
    """
    vectors = macenko_vectors(colours, stains) if start is None else start
    for _ in range(_MOST_ITERATIONS):
        codes = sparse_codes(colours.densities, vectors, penalty)
        weighted = codes * colours.counts
        moments = (weighted @ codes.T).astype(np.float64)
        crossed = (weighted @ colours.densities.T).astype(np.float64)
        moved = _descended(vectors, moments, crossed)
        step = float(np.abs(moved - vectors).max())
        vectors = moved
        if step < _CONVERGED:
            break
    return ordered(unit(vectors), stains)


def _descended(vectors: Vectors, moments: Vectors, crossed: Vectors) -> Vectors:
    """Vectors of least squared error for codes with these moments, none longer than 1."""
    vectors = vectors.copy()
    for _ in range(_SWEEPS):
        for dye in (0, 1):
            if moments[dye, dye] <= 0:  # no pixel holds this dye
                continue
            better = vectors[dye] + (crossed[dye] - moments[dye] @ vectors) / moments[dye, dye]
            better = np.maximum(better, 0)
            vectors[dye] = better / max(float(np.linalg.norm(better)), 1.0)
    return vectors
