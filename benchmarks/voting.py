"""Finding nuclei in VOCA's maps of 500², against plain loops and against scikit-image.

Run as `python benchmarks/voting.py`; prints one JSON line a figure: medians in milliseconds of runs
that take turns in one process on one thread, and their ratios. Accumulation (Eq. 5 of paper 000),
non-maximum suppression at 4 px and the votes within 2 px:

- `loop`: a loop over pixels, greedy suppression by distance of whatever has a hundredth of the most
  votes, a sum a nucleus; this is the goal's, and the paper's, which took 200 ms;
- `scikit_image`: accumulation with `np.add.at`, `peak_local_max`, a sum a nucleus.

`ms` is the whole of `decode`, with sigmoid, weights, normalisation and classes besides. The nuclei
must be those of scikit-image, with the same scores. The maps are those of 600 nuclei at 20x,
smoothed and noisy as a network's are.
"""

from __future__ import annotations

import json

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.feature import peak_local_max
from timing import interleaved

from transfer_kit.codecs.voting import VotingCodec
from transfer_kit.data.annotation import Annotation

SIDE, NUCLEI, MPP = 500, 600, 0.5
GOAL_MS, GOAL_RATIO = 10.0, 20.0
Map = NDArray[np.float32]


def predicted_maps(codec: VotingCodec) -> Map:
    """Maps `(4, SIDE, SIDE)` such as a trained network gives."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, SIDE - 1, (NUCLEI, 2)).astype(np.float32)
    maps = codec.encode(Annotation.of_points(points), (SIDE, SIDE), MPP)
    maps[0] = 8 * maps[0] - 4
    maps[3] -= 1
    for channel, noise in zip(maps, (2, 4, 4, 0.5), strict=True):
        channel += noise * rng.normal(size=channel.shape)
        cv2.GaussianBlur(channel, (0, 0), 1.5, dst=channel)
    return maps


def activated(maps: Map, codec: VotingCodec) -> tuple[Map, Map]:
    """What each pixel's vote weighs, and its vector in pixels."""
    strength = np.maximum(1 + maps[3], 0) / (1 + np.exp(-maps[0]))
    return strength, maps[1:3] * np.float32(codec.vector_unit_um / MPP)


def score(accumulated: Map, peaks: list[tuple[int, int]]) -> dict[tuple[int, int], float]:
    """The votes within 2 px of each peak."""
    scores = {}
    for x, y in peaks:
        top, left = max(y - 2, 0), max(x - 2, 0)
        window = accumulated[top : y + 3, left : x + 3]
        rows, columns = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
        scores[x, y] = float(window[(rows - y) ** 2 + (columns - x) ** 2 <= 4].sum())
    return scores


def by_loops(strength: Map, vectors: Map) -> dict[tuple[int, int], float]:
    accumulated = np.zeros((SIDE, SIDE), np.float32)
    for y in range(SIDE):
        for x in range(SIDE):
            to_x, to_y = round(x + float(vectors[0, y, x])), round(y + float(vectors[1, y, x]))
            if 0 <= to_x < SIDE and 0 <= to_y < SIDE:
                accumulated[to_y, to_x] += strength[y, x]
    rows, columns = np.nonzero(accumulated > 0.01 * accumulated.max())
    left = np.argsort(-accumulated[rows, columns], kind="stable")
    peaks = []
    while len(left):
        x, y = columns[left[0]], rows[left[0]]
        peaks.append((int(x), int(y)))
        left = left[np.hypot(columns[left] - x, rows[left] - y) > 4]
    return score(accumulated, peaks)


def by_scikit_image(strength: Map, vectors: Map) -> dict[tuple[int, int], float]:
    accumulated = np.zeros((SIDE, SIDE), np.float32)
    rows, columns = np.indices((SIDE, SIDE), np.float32)
    x, y = np.rint(columns + vectors[0]).astype(int), np.rint(rows + vectors[1]).astype(int)
    inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
    np.add.at(accumulated, (y[inside], x[inside]), strength[inside])
    peaks = peak_local_max(accumulated, min_distance=4, threshold_abs=0, exclude_border=False)
    return score(accumulated, [(x, y) for y, x in peaks.tolist() if accumulated[y, x] > 0])


def check(codec: VotingCodec, maps: Map) -> int:
    """How many nuclei are found; leaves the benchmark where scikit-image finds others."""
    expected = by_scikit_image(*activated(maps, codec))
    nuclei = codec.decode(maps, MPP, threshold=None)
    highest = max(expected.values())
    for (x, y), found in zip(nuclei.points.tolist(), nuclei.scores.tolist(), strict=True):
        if abs(expected.pop((int(x), int(y)), np.inf) / highest - found) > 1e-4:
            raise SystemExit(f"the nuclei differ at {x}, {y}")
    if expected:
        raise SystemExit(f"nuclei are missing: {sorted(expected)}")
    return len(nuclei)


def keep_memory() -> None:
    """Have the C library keep freed maps, as it does in any process that has run a network.

    In a fresh one it gives them back and asks for them anew at each call, which takes as long again
    as the work.
    """
    np.ones(30 * 2**20, np.uint8)


def main() -> None:
    """Print a line for the paper's decoding and for the everyday one."""
    cv2.setNumThreads(1)
    keep_memory()
    paper = VotingCodec(relative_to="maximum")
    maps = predicted_maps(paper)
    found = check(paper, maps)
    strength, vectors = activated(maps, paper)
    for what, codec in (("paper", paper), ("everyday", VotingCodec(subpixel=True))):
        ours_ms, scikit_ms = interleaved(
            lambda: codec.decode(maps, MPP, threshold=0.2),  # noqa: B023
            lambda: by_scikit_image(strength, vectors),
            rounds=15,
        )
        (loop_ms,) = interleaved(lambda: by_loops(strength, vectors), rounds=3)
        figure = {
            "benchmark": "voting",
            "what": what,
            "candidates": found,
            "ms": round(ours_ms, 2),
            "goal_ms": GOAL_MS,
            "loop_ms": round(loop_ms, 1),
            "scikit_image_ms": round(scikit_ms, 1),
            "ratio_to_loop": round(loop_ms / ours_ms, 1),
            "ratio_to_scikit_image": round(scikit_ms / ours_ms, 1),
            "goal_ratio_to_loop": GOAL_RATIO,
        }
        print(json.dumps(figure))


if __name__ == "__main__":
    main()
