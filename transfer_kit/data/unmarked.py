"""Where no unmarked nucleus can lie, in images of which only some nuclei are marked."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.regions import labelled_mask
from transfer_kit.data.stain.density import optical_density

SIGMAS_UM = (0.5, 1.5)
"""Of the Gaussians under which a place is looked at: the middle of a nucleus, and the whole."""

OWN_UM = 4.0
"""Around a marked centre, in which hardly ever another nucleus has its own."""

NOISE = 0.1
"""Share of the marked nuclei that may score below what is taken for a nucleus."""

RIDGE = 1e-3
"""Added to the variances of optical densities, which a few marks cannot tell from nothing."""

_LEAST_MARGIN = 1 / 2

Floats = NDArray[np.float64]


def surely_labelled(
    image: NDArray[np.uint8], annotation: Annotation, mpp: float
) -> NDArray[np.bool_]:
    """Where all nuclei of an image with `positives_only` are marked after all, `(H, W)`.

    Labelled regions; `OWN_UM` around each marked centre; and the places that look unlike all
    marked nuclei: the reliable negatives of two-step learning from positive and unlabelled
    examples (Liu et al. 2002, "Partially supervised classification of text documents", step 1).
    There, known positives hidden among the unlabelled ("spies") tell how low the score of an
    unknown positive can be, but for a share of noise (15 %); here the marked nuclei do, but for
    `NOISE`. The score is Fisher's linear discriminant of marked against all pixels, of optical
    densities under two Gaussians, so that it serves any stain, and fluorescence too.

    Args:
        image: uint8 RGB `(H, W, 3)`.
        annotation: Its points are the nuclei that are marked.
        mpp: µm per pixel.
    """
    size = (image.shape[0], image.shape[1])
    sure = np.zeros(size, bool)
    if annotation.labelled_regions:
        sure = labelled_mask(annotation, size)
    centres = _inside(annotation.points, size)
    if len(centres):
        sure |= _unlike(image, centres, mpp)
        sure |= _near(centres, size, OWN_UM / mpp)
    return sure


def _unlike(image: NDArray[np.uint8], centres: NDArray[np.intp], mpp: float) -> NDArray[np.bool_]:
    """Pixels whose score lies below those of marked nuclei."""
    columns, rows = centres.T
    features = _features(image, mpp)
    scores = _discriminant(features, features[rows, columns])
    marked = scores[rows, columns]
    middle, ordinary = float(np.median(marked)), float(np.median(scores))
    # A handful of marks differs too little, so half of the way to the ordinary pixel is theirs.
    lowest = min(np.quantile(marked, NOISE), middle - _LEAST_MARGIN * (middle - ordinary))
    return np.asarray(scores < lowest)


def _features(image: NDArray[np.uint8], mpp: float) -> NDArray[np.float32]:
    """Optical densities `(H, W, 6)`, three under each Gaussian."""
    density = optical_density(image)
    blurred = [
        cv2.GaussianBlur(density, (0, 0), sigma / mpp, borderType=cv2.BORDER_REFLECT_101)
        for sigma in SIGMAS_UM
    ]
    return np.concatenate(blurred, axis=2, dtype=np.float32)


def _discriminant(features: NDArray[np.float32], marked: NDArray[np.float32]) -> Floats:
    """Fisher's linear discriminant `(H, W)` of the marked pixels `(N, 6)` against all."""
    every = features.reshape(-1, features.shape[2]).astype(np.float64)
    away = marked.mean(axis=0, dtype=np.float64) - every.mean(axis=0)
    covariance = np.cov(every, rowvar=False) + RIDGE * np.eye(every.shape[1])
    scores: Floats = (every @ np.linalg.solve(covariance, away)).reshape(features.shape[:2])
    return scores


def _inside(points: Points, size: tuple[int, int]) -> NDArray[np.intp]:
    """The pixels `(N, 2)`, x and y, of the points that lie in the image."""
    pixels = np.rint(points).astype(np.intp)
    inside = np.all((pixels >= 0) & (pixels < (size[1], size[0])), axis=1)
    return pixels[inside]


def _near(centres: NDArray[np.intp], size: tuple[int, int], radius_px: float) -> NDArray[np.bool_]:
    elsewhere = np.ones(size, np.uint8)
    elsewhere[centres[:, 1], centres[:, 0]] = 0
    distance = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance < radius_px)
