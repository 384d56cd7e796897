"""How nuclear each pixel is, and how large the blobs under given points are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Points

# Of Gaussians in pixels; a disc of diameter d answers most at d = 2 √2 σ.
SIGMAS_PX = np.geomspace(1.0, 24.0, 20)
_COARSEST_SIGMA_PX = 6.0  # broader ones are applied to a smaller image


def nuclear_signal(image: NDArray[np.uint8], stain: str = "H&E") -> NDArray[np.float32]:
    """High on nuclei, `(H, W)`.

    Haematoxylin and DAB absorb red light and eosin hardly does, so it is the optical density of
    red; in fluorescence, where nuclei shine, it is the brightest channel.
    """
    if any(word in stain.lower() for word in ("fluor", "dapi", "hoechst")):
        return np.asarray(image.max(axis=2) / 255, np.float32)
    density = -np.log10((np.arange(256) + 1) / 256).astype(np.float32)
    return np.asarray(density.take(image[..., 0]), np.float32)


def inside(points: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which points lie in an image of `shape` (height, width), pixel centres at integers."""
    height, width = shape
    x, y = points[:, 0], points[:, 1]
    return (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)


def values_at(field: NDArray[np.float32], points: Points) -> NDArray[np.float32]:
    """The field at the nearest pixel of each point that lies inside."""
    shape = (field.shape[0], field.shape[1])
    x, y = np.rint(points[inside(points, shape)]).astype(np.intp).T
    values: NDArray[np.float32] = field[y, x]
    return values


def blob_responses(signal: NDArray[np.float32], points: Points) -> NDArray[np.float64]:
    """Scale-normalised negative Laplacian, summed over points, at each of `SIGMAS_PX`."""
    sums: list[float] = []
    factor = 1
    for sigma in SIGMAS_PX:
        while sigma / factor > _COARSEST_SIGMA_PX:
            factor *= 2
            signal = cv2.resize(signal, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            points = ((points + 0.5) / 2 - 0.5).astype(np.float32)
        blurred = cv2.GaussianBlur(signal, (0, 0), sigma / factor)
        laplacian = -((sigma / factor) ** 2) * cv2.Laplacian(blurred, cv2.CV_32F)
        sums.append(float(values_at(laplacian, points).sum()))
    return np.asarray(sums, np.float64)


def blob_diameter_px(responses: NDArray[np.float64]) -> float:
    """Diameter of the blobs that gave these responses (Lindeberg's scale selection).

    The maximum is that of the parabola through the largest response and its neighbours.
    """
    best = int(np.clip(np.argmax(responses), 1, len(responses) - 2))
    before, here, after = responses[best - 1 : best + 2]
    bend = before - 2 * here + after
    offset = float(np.clip(0.5 * (before - after) / bend, -1, 1)) if bend < 0 else 0.0
    step = np.log(SIGMAS_PX[1] / SIGMAS_PX[0])
    return float(2 * np.sqrt(2) * SIGMAS_PX[best] * np.exp(offset * step))
