"""DIST's post-processing of a 1000² map, against plain scikit-image.

Run as `python benchmarks/watershed.py`; prints one JSON line a figure: medians in milliseconds of
runs that take turns in one process on one thread, and their ratio. The maps are those of 1000
discs, smoothed and noisy as a network's are: distances in pixels, and probabilities in 255 steps.

Plain is `h_maxima`, `label` and `watershed`. Of equal maxima with a valley of p1 or less between
them `h_maxima` keeps all and the paper's code one, so the nuclei are compared with those of
`reconstruction` and `local_maxima`, also scikit-image, of which equal seeds are told apart: the
first in reading order floods first.
"""

from __future__ import annotations

import json

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from skimage.morphology import h_maxima, local_maxima, reconstruction
from skimage.segmentation import watershed
from timing import interleaved

from transfer_kit.codecs.distance import chessboard_distance
from transfer_kit.codecs.watershed import separate

SIDE, NUCLEI, GOAL_MS, GOAL_RATIO = 1000, 1000, 300.0, 2.0
Levels = NDArray[np.uint8]
Flags = NDArray[np.bool_]


def nuclei() -> NDArray[np.int32]:
    """An instance map of discs, some of which touch."""
    rng = np.random.default_rng(0)
    instances = np.zeros((SIDE, SIDE), np.int32)
    for k in range(1, NUCLEI + 1):
        x, y = rng.integers(0, SIDE, 2).tolist()
        cv2.circle(instances, (x, y), int(rng.integers(6, 15)), k, -1)
    return instances


def predicted() -> dict[str, tuple[Levels, Flags, tuple[int, ...]]]:
    """Levels, foreground and the p1 to look at, of a distance map and of a probability map."""
    instances = nuclei()
    noise = gaussian_filter(np.random.default_rng(1).normal(size=instances.shape), 1)
    distance = gaussian_filter(chessboard_distance(instances), 1.5) + 0.5 * noise
    share = gaussian_filter((instances > 0).astype(float), 2) + 0.05 * noise
    return {
        "distance": (np.rint(np.clip(distance, 0, 255)).astype(np.uint8), distance > 0.5, (0, 1)),
        "probability": (np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8), share > 0.5, (11,)),
    }


def plain(levels: Levels, foreground: Flags, p1: int) -> NDArray[np.int32]:
    """As one writes it with scikit-image."""
    markers = label((h_maxima(levels, p1 + 1) > 0) & foreground)
    return watershed(-levels.astype(np.float64), markers, mask=foreground, connectivity=2)


def reference(levels: Levels, foreground: Flags, p1: int) -> NDArray[np.int32]:
    """What the result must be."""
    flattened = reconstruction(np.maximum(levels.astype(int) - p1, 0), levels)
    seeds = local_maxima(flattened) & foreground
    order = np.where(seeds, np.cumsum(seeds).reshape(seeds.shape), 0)
    depths = -levels.astype(np.float64) + order / (2 * seeds.size)
    return watershed(depths, label(seeds), mask=foreground, connectivity=2)


def main() -> None:
    """Print a line for each map and p1."""
    cv2.setNumThreads(1)
    for name, (levels, foreground, choices) in predicted().items():
        for p1 in choices:
            found = separate(levels, foreground, dynamics=p1)
            if not np.array_equal(found, reference(levels, foreground, p1)):
                raise SystemExit(f"the nuclei of the {name} map differ at p1 = {p1}")
            ours_ms, plain_ms = interleaved(
                lambda: separate(levels, foreground, dynamics=p1),  # noqa: B023
                lambda: plain(levels, foreground, p1),  # noqa: B023
            )
            figure = {
                "benchmark": "watershed",
                "map": name,
                "p1": p1,
                "nuclei": int(found.max()),
                "ms": round(ours_ms, 1),
                "scikit_image_ms": round(plain_ms, 1),
                "ratio": round(plain_ms / ours_ms, 1),
                "goal_ms": GOAL_MS,
                "goal_ratio": GOAL_RATIO,
            }
            print(json.dumps(figure))


if __name__ == "__main__":
    main()
