"""Decoding a 1000² proximity map, against `skimage.feature.peak_local_max`.

Run as `python benchmarks/decoding.py`; prints one JSON line a figure: medians in milliseconds of
runs that take turns in one process on one thread, and their ratio. Both must give the same
points. The maps are those of 800 nuclei, smoothed and noisy as a network's are.
"""

from __future__ import annotations

import json

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.feature import peak_local_max
from timing import interleaved

from transfer_kit.codecs.proximity import ProximityCodec
from transfer_kit.data.annotation import Annotation

SIDE, NUCLEI, THRESHOLD, GOAL = 1000, 800, 0.2, 10.0


def predicted_map(codec: ProximityCodec, mpp: float) -> NDArray[np.float32]:
    """A map `(1, SIDE, SIDE)` such as a trained network gives."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, SIDE - 1, (NUCLEI, 2)).astype(np.float32)
    target = codec.encode(Annotation.of_points(points), (SIDE, SIDE), mpp)[0]
    noise = gaussian_filter(rng.normal(size=target.shape), 1)
    return (gaussian_filter(target, 1.5) + 0.1 * noise).astype(np.float32)[None]


def main() -> None:
    """Print a line for each magnification and for sub-pixel peaks."""
    cv2.setNumThreads(1)
    for mpp, subpixel in ((0.25, False), (0.5, False), (0.25, True)):
        codec = ProximityCodec(subpixel=subpixel)
        maps = predicted_map(codec, mpp)
        radius_px = round(codec.min_distance_um / mpp)

        def ours() -> NDArray[np.float32]:
            return codec.decode(maps, mpp, threshold=THRESHOLD).points  # noqa: B023

        def theirs() -> NDArray[np.intp]:
            return peak_local_max(
                maps[0],  # noqa: B023
                min_distance=radius_px,  # noqa: B023
                threshold_abs=THRESHOLD * codec.scale,  # noqa: B023
                exclude_border=False,
            )

        found = {tuple(p) for p in np.rint(ours()).astype(int).tolist()}
        expected = {(x, y) for y, x in theirs().tolist()}
        if not subpixel and found != expected:
            raise SystemExit(f"the points differ: {sorted(found ^ expected)}")
        ours_ms, theirs_ms = interleaved(ours, theirs, rounds=25)
        figure = {
            "benchmark": "decoding",
            "mpp": mpp,
            "subpixel": subpixel,
            "points": len(found),
            "ms": round(ours_ms, 2),
            "peak_local_max_ms": round(theirs_ms, 2),
            "ratio": round(theirs_ms / ours_ms, 1),
            "goal": GOAL,
        }
        print(json.dumps(figure))


if __name__ == "__main__":
    main()
