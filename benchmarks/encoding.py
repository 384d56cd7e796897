"""Encoding nuclei as a proximity map, against SciPy's distance transform alone.

Run as `python benchmarks/encoding.py`; prints one JSON line a figure: medians in milliseconds of
runs that take turns in one process on one thread, and their ratio. 800 nuclei in 1000² pixels.
"""

from __future__ import annotations

import json

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from timing import interleaved

from transfer_kit.codecs.proximity import ProximityCodec
from transfer_kit.data.annotation import Annotation

SIDE, NUCLEI, MPP, GOAL = 1000, 800, 0.25, 4.0


def main() -> None:
    """Print a line for each way of encoding."""
    cv2.setNumThreads(1)
    points = np.random.default_rng(0).uniform(0, SIDE - 1, (NUCLEI, 2)).astype(np.float32)
    annotation = Annotation.of_points(points)
    background = np.ones((SIDE, SIDE), np.uint8)
    background[tuple(np.rint(points).astype(int).T[::-1])] = 0
    codecs = {
        "exponential": ProximityCodec(),
        "exponential, sub-pixel": ProximityCodec(subpixel=True),
        "reciprocal": ProximityCodec(decay="reciprocal", radius_um=3.0, scale=1.0),
    }
    scipy_ms, opencv_ms, *ours = interleaved(
        lambda: distance_transform_edt(background),
        lambda: cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
        *(
            lambda codec=codec: codec.encode(annotation, (SIDE, SIDE), MPP)
            for codec in codecs.values()
        ),
    )
    for name, milliseconds in zip(codecs, ours, strict=True):
        figure = {
            "benchmark": "encoding",
            "what": name,
            "ms": round(milliseconds, 2),
            "scipy_distance_transform_ms": round(scipy_ms, 2),
            "opencv_distance_transform_ms": round(opencv_ms, 2),
            "ratio": round(scipy_ms / milliseconds, 1),
            "goal": GOAL,
        }
        print(json.dumps(figure))


if __name__ == "__main__":
    main()
