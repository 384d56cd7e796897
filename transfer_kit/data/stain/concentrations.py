"""How much of each of two dyes a pixel holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.stain.vectors import Vectors

_LEAST_DETERMINANT = 1e-6
Floats = NDArray[np.float32]


def concentrations(density: Floats, vectors: Vectors) -> Floats:
    """Least-squares concentrations `(…, 2)` of densities `(…, 3)`; they may be negative."""
    inverse = np.linalg.pinv(vectors).astype(np.float32)
    found: Floats = density @ inverse
    return found


def nonnegative_concentrations(density: Floats, vectors: Vectors, penalty: float = 0.0) -> Floats:
    """Concentrations c ≥ 0 `(…, 2)` that minimise ½ |d − c·S|² + `penalty` · Σ c for each density.

    A small penalty makes most pixels hold one dye alone (Vahadane et al. 2016, equation 4).

    Args:
        density: `(…, 3)` optical densities d.
        vectors: The two stain vectors S `(2, 3)`.
        penalty: λ, at least 0.
    """
    flat = np.ascontiguousarray(density.reshape(-1, 3).T)
    return sparse_codes(flat, vectors, penalty).T.reshape(*density.shape[:-1], 2)


def sparse_codes(densities: Floats, vectors: Vectors, penalty: float) -> Floats:
    """`nonnegative_concentrations` of densities `(3, N)` as `(2, N)`, in closed form.

    With two dyes the constraint is met by the unconstrained minimum, or by one dye alone, or by
    none, whichever of them is the first that is feasible.
    """
    dictionary = vectors.astype(np.float32)
    (first, overlap), (_, second) = (dictionary @ dictionary.T).tolist()
    on_first, on_second = dictionary @ densities - np.float32(penalty)
    determinant = max(first * second - overlap**2, _LEAST_DETERMINANT)
    codes = np.empty((2, densities.shape[1]), np.float32)
    codes[0] = (on_first * second - on_second * overlap) / determinant
    codes[1] = (on_second * first - on_first * overlap) / determinant
    no_first = codes[0] < 0
    no_second = (codes[1] < 0) & ~no_first
    codes[1] = np.where(no_first, on_second / second, codes[1])
    codes[0] = np.where(no_second, on_first / first, codes[0])
    codes[0][no_first] = 0
    codes[1][no_second] = 0
    np.maximum(codes, 0, out=codes)
    return codes
