"""Naylor, Laé, Reyal and Walter, IEEE TMI 2019, Algorithm 1: the dummy data for distance maps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


@dataclass(frozen=True)
class Algorithm1:
    """The paper's constants, in grey levels of 255, and how far nuclei are dilated.

    Attributes:
        mean: μ1, of a nucleus' colour.
        colour_sd: σ1, of a nucleus' colour, for each of red, green and blue.
        nucleus_noise: σ2, of the noise of a nucleus' pixels.
        image_noise: σ3, of the half-normal noise of all pixels.
        dilation_px: Radius of the dilation, which the paper leaves open.
    """

    mean: float = 127.0
    colour_sd: float = 100.0
    nucleus_noise: float = 10.0
    image_noise: float = 5.0
    dilation_px: int = 2


PAPER = Algorithm1()


def simulate(
    truth: NDArray[np.bool_], rng: np.random.Generator, constants: Algorithm1 = PAPER
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A simulated sample and its instance map, from a binary ground truth `(H, W)`.

    Steps as in the paper's pseudo code. Labelling comes before the dilation, so that components
    which grow together keep their own colour; where two reach a pixel, the nearer one takes it.
    The background is black before the last step, and values are clipped to [0, 255].

    Returns:
        The image uint8 `(H, W, 3)` and the dilated components, int32 `(H, W)`.
    """
    count, labels = cv2.connectedComponents(truth.astype(np.uint8), connectivity=8)
    labels = _dilated(labels.astype(np.int32), constants.dilation_px)
    colours = rng.normal(constants.mean, constants.colour_sd, (count, 3))
    colours[0] = 0.0
    image = colours[labels]
    noise = rng.normal(0.0, constants.nucleus_noise, image.shape)
    image = image + noise * (labels > 0)[..., None]
    image = image + np.abs(rng.normal(0.0, constants.image_noise, image.shape))
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8), labels


def _dilated(labels: NDArray[np.int32], radius_px: int) -> NDArray[np.int32]:
    """Labels grown by `radius_px` into the background, each pixel to its nearest label."""
    if not labels.any():
        return labels
    distance, nearest = distance_transform_edt(labels == 0, return_indices=True)
    grown = labels[nearest[0], nearest[1]]
    return np.where(distance <= radius_px, grown, 0).astype(np.int32)
