"""How far a base's own organ is from a target in what its network sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

Floats = NDArray[np.float64]


def frechet_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Squared Fréchet distance of two samples `(N, D)`, `(M, D)`, each taken to be Gaussian.

    d² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) (Dowson and Landau 1982; Heusel et al.
    2017). With Σ₁ = AᵀA and Σ₂ = BᵀB the last trace is the sum of the singular values of ABᵀ,
    so that no root of a matrix is needed and singular covariances do no harm.

    Raises:
        ValueError: a sample has fewer than two rows, or the columns differ.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"two samples (N, D) of at least two rows are needed, but got {a.shape}, {b.shape}"
        )
    apart = a.mean(axis=0) - b.mean(axis=0)
    roots = [_root_of_covariance(each) for each in (a, b)]
    shared = linalg.svdvals(roots[0] @ roots[1].T).sum()
    spread = sum(float((root**2).sum()) for root in roots)
    return float(max(apart @ apart + spread - 2 * shared, 0.0))


def relative_frechet_distance(own: ArrayLike, other: ArrayLike) -> float | None:
    """The squared Fréchet distance by the total variance of `own`; None where that is zero.

    Unlike networks have features of unlike size: divided so, 0 is "the same" and 1 "as far as the
    own samples are spread", of any network.
    """
    features = np.asarray(own, np.float64)
    variance = float(features.var(axis=0, ddof=1).sum())
    return frechet_distance(features, other) / variance if variance > 0 else None


def _root_of_covariance(sample: Floats) -> Floats:
    """R with RᵀR the covariance (divisor N − 1), of as few rows as there can be."""
    centred = (sample - sample.mean(axis=0)) / np.sqrt(len(sample) - 1)
    root: Floats = linalg.qr(centred, mode="r")[0][: sample.shape[1]]
    return root
