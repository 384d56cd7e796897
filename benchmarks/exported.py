"""Exported networks beside PyTorch, on the CPU, as ratios of one process.

    python benchmarks/exported.py [--threads 1] [--size 512] [--rounds 7] [MODEL ...]

Shipped detectors on images of noise, by turns: PyTorch as its layers come, PyTorch in the layout
that the kit runs it in (channels-last), ONNX Runtime and OpenVINO in single precision. A ratio
above 1 is faster than PyTorch as its layers come. Exporting is told apart, in seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from timing import interleaved

import transfer_kit as tk
from transfer_kit.detector import Detector
from transfer_kit.exporting import export_detector, load_runtime

MODELS = ("micronet-breast", "dist-all", "voca-colon")
FILES = {"onnxruntime": "network.onnx", "openvino": "network.xml"}


def torch_call(detector: Detector, images: torch.Tensor, layout: torch.memory_format) -> Callable:
    """One forward pass in a layout."""
    network = detector.copy().network.eval().to(memory_format=layout)
    images = images.contiguous(memory_format=layout)

    def call() -> None:
        with torch.inference_mode():
            network(images)

    return call


def measured(name: str, folder: Path, *, threads: int, size: int, rounds: int) -> dict[str, object]:
    """The figures of one shipped detector."""
    detector = tk.load(name)
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    calls = {
        "pytorch": torch_call(detector, images, torch.contiguous_format),
        "pytorch, channels-last": torch_call(detector, images, torch.channels_last),
    }
    seconds: dict[str, float] = {}
    for runtime, file in FILES.items():
        started = time.perf_counter()
        export_detector(detector, folder / file)
        seconds[runtime] = round(time.perf_counter() - started, 1)
        network, array = load_runtime(folder / file, threads=threads), images.numpy()
        calls[runtime] = lambda network=network, array=array: network(array)  # type: ignore[misc]
    for call in calls.values():
        call()  # compiles, allocates
    took = dict(zip(calls, interleaved(*calls.values(), rounds=rounds), strict=True))
    return {
        "benchmark": "an exported network / PyTorch, images a second",
        "model": name,
        "ratio": {each: round(took["pytorch"] / took[each], 2) for each in took},
        "milliseconds": {each: round(took[each], 1) for each in took},
        "seconds of exporting": seconds,
        "size_px": size,
        "threads": threads,
    }


def main() -> None:
    """Print one line a detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            figures = measured(
                name, Path(folder),
                threads=options.threads, size=options.size, rounds=options.rounds,
            )  # fmt: skip
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
