"""Stain vectors by Macenko et al. 2009: the extreme directions in the plane of the densities."""

from __future__ import annotations

import numpy as np

from transfer_kit.data.stain.tissue import TissueColours, weighted_percentiles
from transfer_kit.data.stain.vectors import Stains, Vectors, ordered, unit

_ANGULAR_PERCENTILE = 99.0


def macenko_vectors(
    colours: TissueColours, stains: Stains, percentile: float = _ANGULAR_PERCENTILE
) -> Vectors:
    """Two unit stain vectors `(2, 3)`, haematoxylin first.

    The densities are projected onto the plane of their two principal directions; the stains are
    the directions at the lowest and highest percentile of the angle in it (Macenko et al., A
    method for normalizing histology slides for quantitative analysis, ISBI 2009, section 2.2).

    Args:
        colours: Of the tissue, at least two.
        stains: Which the two are.
        percentile: Of the angle, for the farther stain; the other's is 100 less this.
    """
    densities, counts = colours.densities, colours.counts
    centred = densities - ((densities @ counts) / counts.sum())[:, None]
    _, directions = np.linalg.eigh(((centred * counts) @ centred.T).astype(np.float64))
    plane = directions[:, [2, 1]]
    # Densities are positive, so both axes should point to where red is absorbed.
    plane *= np.where(plane[0] < 0, -1, 1)
    along, across = plane.T.astype(np.float32) @ densities
    angles = np.arctan2(across, along)
    extremes = weighted_percentiles(angles, counts, (100 - percentile, percentile))
    vectors = np.stack([np.cos(extremes), np.sin(extremes)], axis=1) @ plane.T
    return ordered(unit(vectors), stains)
