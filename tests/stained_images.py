"""Images made from known dyes: Beer and Lambert's law, and the noise of a camera."""

from __future__ import annotations

import cv2
import numpy as np

from transfer_kit.data.stain import published_vectors

# As scanners show haematoxylin and eosin, unlike the published vectors.
HAEMATOXYLIN = np.array([0.60, 0.71, 0.37])
EOSIN = np.array([0.22, 0.80, 0.56])
SCANNED = np.stack([HAEMATOXYLIN, EOSIN]) / np.linalg.norm([HAEMATOXYLIN, EOSIN], axis=1)[:, None]
DAB = published_vectors("H-DAB")


def concentration_maps(seed: int = 0, side: int = 240) -> np.ndarray:
    """Two maps `(H, W, 2)`: nuclei of the first dye, fibres of the second, glass between them."""
    rng = np.random.default_rng(seed)
    smooth = [cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), sigma) for sigma in (5, 9)]
    nuclei, fibres = (each / each.std() for each in smooth)
    first = np.where(nuclei > 0.6, 0.5 + 0.5 * nuclei, 0)
    second = np.where(fibres > -0.4, 0.45 + 0.3 * np.abs(fibres), 0) * (first == 0)
    return np.stack([first, second], axis=2)


def shown(concentrations: np.ndarray, vectors: np.ndarray, noise: float = 1.0) -> np.ndarray:
    """The image of concentrations (natural optical density), with noise in grey levels."""
    light = 256 * np.exp(-concentrations @ vectors) - 1
    rng = np.random.default_rng(1)
    return np.clip(np.rint(light + rng.normal(0, noise, light.shape)), 0, 255).astype(np.uint8)


def stained_image(seed: int = 0, vectors: np.ndarray = SCANNED, strength=(1.0, 1.0)) -> np.ndarray:
    return shown(concentration_maps(seed) * strength, vectors)


def glass(side: int = 100) -> np.ndarray:
    return np.full((side, side, 3), 244, np.uint8)
