"""How nuclear each pixel is, and how large the blobs under given points are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Points

# Of Gaussians in pixels; a disc of diameter d answers most at d = 2 √2 σ.
SIGMAS_PX = np.geomspace(1.0, 24.0, 28)


def nuclear_signal(image: NDArray[np.uint8], stain: str = "H&E") -> NDArray[np.float32]:
    """High on nuclei, `(H, W)`.

    Haematoxylin and DAB absorb red light and eosin hardly does, so it is the optical density of
    red; in fluorescence, where nuclei shine, it is the brightest channel.
    """
    if any(word in stain.lower() for word in ("fluor", "dapi", "hoechst")):
        return image.max(axis=2).astype(np.float32) / 255
    density = -np.log10((np.arange(256, dtype=np.float32) + 1) / 256)
    return np.asarray(density[image[..., 0]], np.float32)


def inside(points: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which points lie in an image of `shape` (height, width), pixel centres at integers."""
    height, width = shape
    x, y = points[:, 0], points[:, 1]
    return (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)


def values_at(field: NDArray[np.float32], points: Points) -> NDArray[np.float32]:
    """The field at the nearest pixel of each point that lies inside."""
    shape = (field.shape[0], field.shape[1])
    x, y = np.rint(points[inside(points, shape)]).astype(np.intp).T
    return field[y, x]


def blob_responses(signal: NDArray[np.float32], points: Points) -> NDArray[np.float64]:
    """Scale-normalised negative Laplacian, summed over points, at each of `SIGMAS_PX`."""
    sums = []
    for sigma in SIGMAS_PX:
        blurred = cv2.GaussianBlur(signal, (0, 0), sigma)
        laplacian = -(sigma**2) * cv2.Laplacian(blurred, cv2.CV_32F)
        sums.append(float(values_at(laplacian, points).sum()))
    return np.asarray(sums, np.float64)


def blob_diameter_px(responses: NDArray[np.float64]) -> float:
    """Diameter of the blobs that gave these responses (Lindeberg's scale selection)."""
    return float(2 * np.sqrt(2) * SIGMAS_PX[int(np.argmax(responses))])
