"""How long matching takes: one JSON line a figure."""

from __future__ import annotations

import json
import time

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from transfer_kit.evaluation.matching import match_points

Points = NDArray[np.float32]

RADIUS_PX = 16.0


def tissue(count: int, side: float, seed: int = 0) -> tuple[Points, Points]:
    """Nuclei scattered over a square, and detections: jittered by 3 px, a tenth of them false."""
    random = np.random.default_rng(seed)
    nuclei = random.random((count, 2)) * side
    found = nuclei + random.normal(0, 3, nuclei.shape)
    found[: count // 10] = random.random((count // 10, 2)) * side
    return nuclei.astype(np.float32), random.permutation(found).astype(np.float32)


def dense_assignment(nuclei: Points, found: Points, radius: float) -> tuple[int, float]:
    """Pairs and total distance by the dense Hungarian algorithm, far pairs at a high cost."""
    distance = cdist(nuclei, found)
    forbidden = (len(nuclei) + 1) * (radius + 1)
    pairs = linear_sum_assignment(np.where(distance <= radius, distance, forbidden))
    within = distance[pairs][distance[pairs] <= radius]
    return len(within), float(within.sum())


def main() -> None:
    """Print the seconds for 100 000 points at three densities, and the ratio to dense."""
    for side in (10_000, 5_000, 4_000):
        nuclei, found = tissue(100_000, side)
        start = time.perf_counter()
        match = match_points(nuclei, found, RADIUS_PX)
        seconds = time.perf_counter() - start
        report(f"match_100k_in_{side}px_seconds", seconds, pairs=len(match))
    nuclei, found = tissue(3_000, 1_700)
    start = time.perf_counter()
    match = match_points(nuclei, found, RADIUS_PX)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    count, total = dense_assignment(nuclei, found, RADIUS_PX)
    dense = time.perf_counter() - start
    same = len(match) == count and bool(np.isclose(match.distances.sum(), total))
    report("dense_over_match_3k_ratio", dense / ours, same_result=same)


def report(figure: str, value: float, **more: float | bool) -> None:
    """Print one figure as a line of JSON."""
    print(json.dumps({"figure": figure, "value": round(value, 4), **more}), flush=True)


if __name__ == "__main__":
    main()
