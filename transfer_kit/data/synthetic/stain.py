"""Dyes as light absorbers (Beer and Lambert): what a pixel's concentrations look like.

Vectors are optical densities, -log10(transmitted / incident), of red, green and blue; Ruifrok and
Johnston 2001 for the model, mean colours of scanned H&E sections for the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.synthetic.noise import Field

DYES = ("haematoxylin", "eosin", "blood", "melanin", "dab")


@dataclass(frozen=True)
class Stain:
    """How one organ's sections are stained, and how much that varies from laboratory to laboratory.

    Attributes:
        haematoxylin, eosin, blood, melanin, dab: Optical densities of red, green and blue, any
            length; diaminobenzidine (DAB) is the brown of immunohistochemistry.
        hue_jitter: Standard deviation of a unit vector's components between cases.
        strength_jitter: Standard deviation of the logarithm of a dye's strength between cases.
        haematoxylin_strength, eosin_strength, blood_strength: Factors on the concentrations of all
            cases.
    """

    haematoxylin: tuple[float, float, float] = (0.60, 0.71, 0.36)
    eosin: tuple[float, float, float] = (0.20, 0.84, 0.50)
    blood: tuple[float, float, float] = (0.13, 0.78, 0.62)
    # Melanin absorbs the more the shorter the wave: brown, never violet.
    melanin: tuple[float, float, float] = (0.42, 0.56, 0.71)
    dab: tuple[float, float, float] = (0.27, 0.57, 0.78)
    hue_jitter: float = 0.035
    strength_jitter: float = 0.2
    haematoxylin_strength: float = 1.0
    eosin_strength: float = 1.0
    blood_strength: float = 1.0


def stained(
    concentrations: Mapping[str, Field], stain: Stain, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Transmitted light `(H, W, 3)` in [0, 1] of one case's section.

    Args:
        concentrations: A map `(H, W)` for each of `DYES` that is present, in optical density.
        stain: The organ's stain.
        rng: The case's laboratory: hue and strength of its dyes.
    """
    density: NDArray[np.float64] | None = None
    for dye in DYES:
        vector = np.asarray(getattr(stain, dye)) / np.linalg.norm(getattr(stain, dye))
        vector = np.clip(vector + rng.normal(0, stain.hue_jitter, 3), 0.02, 1)
        strength = float(np.exp(np.clip(rng.normal(), -2, 2) * stain.strength_jitter))
        strength *= getattr(stain, f"{dye}_strength", 1.0)
        if dye in concentrations:
            part = concentrations[dye][..., None] * (vector * strength / np.linalg.norm(vector))
            density = part if density is None else density + part
    if density is None:
        raise ValueError("no dye was given")
    light: NDArray[np.float64] = np.power(10.0, -density)
    return light
