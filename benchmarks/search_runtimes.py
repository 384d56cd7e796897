"""A drawn image from its pixels to its nuclei, by each runtime; and what is not the network.

    python benchmarks/search_runtimes.py [--threads 2] [--side 1024] [--rounds 5] [MODEL ...]

One process, on the CPU, all by turns: the search with PyTorch, ONNX Runtime and OpenVINO, and with
PyTorch in tiles of half the side, one and four of them at once. A ratio above 1 is faster than
PyTorch as it is by default. The overhead is what a search takes beyond the time in its network, in
parts of that, by the clock and in processor time of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import transfer_kit as tk
from transfer_kit.data.slides.slide import Level
from transfer_kit.data.synthetic import draw
from transfer_kit.inference.field import Field
from transfer_kit.inference.forward import Runtime, forward_of
from transfer_kit.inference.search import search
from transfer_kit.networks.forward import Floats, Forward
from transfer_kit.stores.models import find_weights
from transfer_kit.weights_file import weights_hash

MODELS = ("micronet-breast", "voca-colon", "dist-all")
RUNTIMES: tuple[Runtime, ...] = ("torch", "onnx", "openvino")
MPP = 0.25


class Drawn:
    """An image in memory, as a slide of one level."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels, self.size, self.mpp = pixels, pixels.shape[:2], MPP
        self.path, self.levels = Path("drawn.png"), (Level(pixels.shape[:2], 1.0),)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        return self.pixels[y : y + height, x : x + width]

    def close(self) -> None: ...


Times = NDArray[np.float64]
"""By the clock, and of all threads together, in seconds."""


def now() -> Times:
    return np.array([time.perf_counter(), time.process_time()])


class Way:
    """A search of a slide in one way, and the time that its network takes of it."""

    def __init__(
        self, model: str, slide: Drawn, *, runtime: Runtime = "torch", tile_px: int, batch: int = 1
    ) -> None:
        detector, self.in_network = tk.load(model), np.zeros(2)
        own = forward_of(detector, weights_hash(find_weights(model)), runtime=runtime)

        def run(tiles: Floats) -> Floats:
            began = now()
            maps = own.run(tiles)
            self.in_network += now() - began
            return maps

        forward = Forward(run, batch)
        self.field = Field.of(detector, slide, MPP, tile_px=tile_px, forward=forward)
        self.threshold = detector.card.threshold
        self.found = search(self.field, threshold=self.threshold)  # compiles, allocates

    def timed(self) -> tuple[Times, Times]:
        """Of one search, and of the network in it."""
        self.in_network[:] = 0
        began = now()
        search(self.field, threshold=self.threshold)
        return now() - began, self.in_network.copy()

    def is_as(self, other: Way) -> bool:
        points, others = self.found.points, other.found.points
        return len(points) == len(others) and bool(np.abs(points - others).max() < 0.05)


def measured(model: str, slide: Drawn, rounds: int) -> dict[str, object]:
    """The figures of one detector."""
    half = int(slide.size[0] * MPP / tk.load(model).card.mpp) // 2 + 1
    ways = {each: Way(model, slide, runtime=each, tile_px=2 * half) for each in RUNTIMES}
    ways["torch, small tiles"] = Way(model, slide, tile_px=half)
    ways["torch, small tiles, 4 at once"] = Way(model, slide, tile_px=half, batch=4)
    took: dict[str, list[tuple[Times, Times]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            took[name].append(way.timed())
    seconds = {name: statistics.median(whole[0] for whole, _ in took[name]) for name in ways}
    over = {
        name: np.median([whole / network - 1 for whole, network in took[name]], axis=0)
        for name in ways
    }
    return {
        "model": model,
        "nuclei": len(ways["torch"].found),
        "same nuclei": all(way.is_as(ways["torch"]) for way in ways.values()),
        "times as fast": {name: round(seconds["torch"] / seconds[name], 2) for name in ways},
        "seconds": {name: round(seconds[name], 2) for name in ways},
        "overhead, clock": {name: round(float(over[name][0]), 3) for name in ways},
        "overhead, processor": {name: round(float(over[name][1]), 3) for name in ways},
    }


def main() -> None:
    """Print one line a detector."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    slide = Drawn(draw("breast", case=0, size=options.side, seed=0)[0])
    with tempfile.TemporaryDirectory() as home:
        os.environ["TRANSFER_KIT_HOME"] = home
        for model in options.models:
            figures = measured(model, slide, options.rounds)
            facts = {"threads": options.threads, "side_px": options.side}
            print(json.dumps(figures | facts), flush=True)


if __name__ == "__main__":
    main()
