"""Stain vectors: the optical densities of red, green and blue of each dye, at length 1."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Stains = Literal["H&E", "H-DAB"]
"""The two dyes of a slide, haematoxylin first."""
Vectors = NDArray[np.float64]

# Haematoxylin, eosin and DAB (Ruifrok and Johnston 2001).
HED: Vectors = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
HED /= np.linalg.norm(HED, axis=1, keepdims=True)

_PUBLISHED: dict[Stains, Vectors] = {"H&E": HED[[0, 1]], "H-DAB": HED[[0, 2]]}
_HAEMATOXYLIN_LIKE: dict[Stains, Vectors] = {
    "H&E": np.array([1.0, 0, 0]),
    "H-DAB": np.array([1.0, 0, -1]),
}
_OF_DAB = ("dab", "ihc", "immuno", "ki67", "ki-67")


def published_vectors(stains: Stains) -> Vectors:
    """Haematoxylin and the second dye, `(2, 3)` (Ruifrok and Johnston 2001)."""
    return _PUBLISHED[stains].copy()


def stains_of(stain: str) -> Stains:
    """The two dyes of a dataset's `stain`, such as H&E or Ki67; H&E where it tells no other."""
    return "H-DAB" if any(word in stain.lower() for word in _OF_DAB) else "H&E"


def unit(vectors: Vectors) -> Vectors:
    """Rows as densities that a dye can have, at length 1: none below 0."""
    positive = np.maximum(vectors, 0)
    lengths = np.linalg.norm(positive, axis=1, keepdims=True)
    return np.asarray(positive / np.maximum(lengths, 1e-12), np.float64)


def ordered(vectors: Vectors, stains: Stains) -> Vectors:
    """Two stain vectors with haematoxylin first: the one that takes more of the red light.

    DAB can be so dark that it takes more red, but it takes yet more blue, so beside it the
    difference of the two decides.
    """
    exchanged = float((vectors[0] - vectors[1]) @ _HAEMATOXYLIN_LIKE[stains]) < 0
    return vectors[::-1].copy() if exchanged else vectors


def angle_degrees(first: Vectors, second: Vectors) -> float:
    """The angle between two stain vectors."""
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(float(first @ second) / lengths, -1, 1))))


def with_residual(vectors: Vectors) -> Vectors:
    """Two stain vectors and the unit vector that neither dye explains, `(3, 3)`."""
    residual = np.cross(vectors[0], vectors[1])
    return np.vstack([vectors, residual / np.linalg.norm(residual)])
