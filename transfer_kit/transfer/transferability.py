"""How well a network's features tell labels apart, without training: LogME and H-score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

Floats = NDArray[np.float64]

ROUNDS = 200
"""Of the fixed point at most; it takes a handful where features say something of the labels."""

SETTLED = 1e-8
"""Relative change of the ratio of precisions at which the fixed point has been reached."""

LEAST_SHARE = 1e-10
"""Of a label's sum of squares, taken to be unexplained where a linear map hits it exactly: the
evidence is then without bound."""


def logme(features: ArrayLike, labels: Sequence[str]) -> float:
    """Log of maximum evidence a sample, averaged over the labels (LogME; You et al. 2021).

    Each label in turn is the target y of a Bayesian linear regression on the features: 1 where a
    sample has it and 0 elsewhere. Greater is better. It may be compared between networks of
    unlike width, on the same samples; features times a constant, or turned, give the same.

    Args:
        features: `(N, D)`.
        labels: N of them.

    Raises:
        ValueError: their numbers differ, or there are fewer than two different labels.
    """
    f, names = _checked(features, labels)
    return float(np.mean([log_evidence(f, names == name) for name in np.unique(names)]))


def with_bias(features: ArrayLike) -> Floats:
    """The features and a constant column of their root mean square, `(N, D + 1)`.

    LogME's regression has no constant, so that features which are zero wherever there is no nucleus
    could not tell background. The last layer of a network has a bias, and this column is one.
    """
    f = np.asarray(features, np.float64)
    size = np.sqrt(np.mean(f**2)) if f.size else 0.0
    return np.column_stack([f, np.full(len(f), size)])


def log_evidence(features: ArrayLike, target: ArrayLike) -> float:
    """The greatest log evidence of a target, divided by n (You et al. 2021).

    With weights w ~ N(0, I/α) and y ~ N(F w, I/β), and with m = β A⁻¹ Fᵀ y, A = α I + β Fᵀ F,

        L(α, β) = n/2 ln β + D/2 ln α − n/2 ln 2π − β/2 |F m − y|² − α/2 mᵀm − ½ ln |A|

    is maximised by γ = Σ β σᵢ²/(α + β σᵢ²), α ← γ/(mᵀm), β ← (n − γ)/|F m − y|², over the singular
    values σᵢ of F, until α/β settles.

    Args:
        features: `(n, D)`.
        target: `(n,)`, not all zero.

    Raises:
        ValueError: the target is zero everywhere.
    """
    f, y = np.asarray(features, np.float64), np.asarray(target, np.float64)
    total = float(y @ y)
    if total == 0:
        raise ValueError("a target is needed that is not zero everywhere")
    left, sigma, _ = linalg.svd(f, full_matrices=False)
    kept = sigma > sigma.max(initial=0.0) * max(f.shape) * np.finfo(np.float64).eps
    squares, along = sigma[kept] ** 2, (left[:, kept].T @ y) ** 2
    outside = max(total - float(along.sum()), 0.0)
    if not len(squares):
        return _without_features(len(y), total)
    ratio = float(squares.mean())  # of α to β; the features' own scale
    for _ in range(ROUNDS):
        before = ratio
        alpha, beta = _precisions(ratio, squares, along, outside, len(y), total)
        ratio = alpha / beta
        if not np.isfinite(ratio) or ratio > squares.max() / np.finfo(np.float64).eps:
            return _without_features(len(y), total)
        if abs(ratio - before) <= SETTLED * ratio:
            break
    return _evidence(alpha, beta, squares, along, outside, len(y))


def h_score(features: ArrayLike, labels: Sequence[str]) -> float:
    """tr(cov(f)⁻¹ cov(E[f | label])) (Bao et al. 2019).

    The share of the features' whitened variance that lies between labels: 0 where features say
    nothing, the number of labels less 1 where a linear map tells them exactly. Directions in which
    the features don't vary are left out (pseudoinverse). With fewer samples than features it says
    little, since some linear map always fits.

    Args:
        features: `(N, D)`.
        labels: N of them.

    Raises:
        ValueError: their numbers differ, or there are fewer than two different labels.
    """
    f, names = _checked(features, labels)
    f = f - f.mean(axis=0)
    expected = np.zeros_like(f)
    for name in np.unique(names):
        expected[names == name] = f[names == name].mean(axis=0)
    # Both covariances have the same divisor, which cancels.
    return float(np.trace(linalg.pinvh(f.T @ f) @ (expected.T @ expected)))


def _checked(features: ArrayLike, labels: Sequence[str]) -> tuple[Floats, NDArray[np.str_]]:
    f, names = np.asarray(features, np.float64), np.asarray(labels, np.str_)
    if f.ndim != 2 or len(f) != len(names):
        raise ValueError(f"features {f.shape} need one label a row, but got {len(names)}")
    if len(np.unique(names)) < 2:
        raise ValueError("at least two different labels are needed")
    return f, names


def _precisions(
    ratio: float, squares: Floats, along: Floats, outside: float, count: int, total: float
) -> tuple[float, float]:
    """The next α and β: of the prior of the weights and of the noise.

    In the basis of the singular vectors mᵢ = σᵢ zᵢ/(σᵢ² + t) with z = Uᵀ y and t = α/β, and the
    residual is t zᵢ/(σᵢ² + t) along each, and what of y lies outside all of them.
    """
    share = squares / (squares + ratio)
    gamma = float(share.sum())
    length = float((squares * along / (squares + ratio) ** 2).sum())
    residual = float((along * (1 - share) ** 2).sum()) + outside
    residual = max(residual, LEAST_SHARE * total)
    alpha = gamma / length if length > 0 else np.inf
    return alpha, (count - gamma) / residual


def _evidence(
    alpha: float, beta: float, squares: Floats, along: Floats, outside: float, count: int
) -> float:
    ratio = alpha / beta
    length = float((squares * along / (squares + ratio) ** 2).sum())
    residual = float((along * (ratio / (squares + ratio)) ** 2).sum()) + outside
    # D/2 ln α and the part of ln |A| in directions without features cancel.
    log = (
        count * np.log(beta / (2 * np.pi))
        - beta * residual
        - alpha * length
        - np.log1p(squares / ratio).sum()
    )
    return float(log / (2 * count))


def _without_features(count: int, total: float) -> float:
    """The limit α → ∞, where noise of the target's own size explains it all."""
    return float(0.5 * np.log(count / (2 * np.pi * total)) - 0.5)
