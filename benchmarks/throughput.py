"""Training steps with each setting that is to make them faster or smaller, as ratios to none.

    python benchmarks/throughput.py [--device cuda] [--batch-size 16] [--width 32]

MicroNet on 200² crops that lie ready: forward, loss, backward, optimizer; by turns in one process.
What compiling takes is told apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch

from transfer_kit.card import DetectorCard
from transfer_kit.detector import Detector
from transfer_kit.settings import CodecSettings, NetworkSettings, TrainSettings
from transfer_kit.training.module import DetectorModule

SETTINGS: dict[str, dict[str, object]] = {
    "none": {"precision": "32-true", "channels_last": False},
    "channels_last": {"precision": "32-true"},
    "bf16-mixed": {"precision": "bf16-mixed"},
    "bf16-mixed, compile": {"precision": "bf16-mixed", "compile": True},
    "accumulate 2": {"precision": "32-true", "accumulate": 2},
}
ROUNDS = 7


def step_of(settings: TrainSettings, width: int, device: str) -> Callable[[], None]:
    """One whole step of the optimizer on random crops."""
    network = NetworkSettings(options={"width": width, "dropout": 0.0})
    card = DetectorCard(
        name="bare", mpp=0.25, mean=(0.7, 0.5, 0.7), std=(0.2, 0.2, 0.2),
        network=network, codec=CodecSettings(), threshold=0.5,
    )  # fmt: skip
    module = DetectorModule(Detector.fresh(card, seed=0).to(device), settings, seed=0)
    module.train()
    optimizer = module.configure_optimizers()["optimizer"]
    size = settings.batch_size // settings.accumulate
    batch = {
        "image": torch.randn(size, 3, 200, 200, device=device),
        "target": torch.rand(size, 1, 200, 200, device=device),
        "weight": torch.ones(size, 1, 200, 200, device=device),
    }
    mixed = settings.precision == "bf16-mixed"

    def step() -> None:
        for _ in range(settings.accumulate):
            with torch.autocast(device, torch.bfloat16) if mixed else nullcontext():
                loss = module._losses(batch).mean() / settings.accumulate
            loss.backward()
        torch.nn.utils.clip_grad_norm_(module.network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--width", type=int, default=16)
    options = parser.parse_args()
    steps, memory, first = {}, {}, {}
    for name, fields in SETTINGS.items():
        settings = TrainSettings(batch_size=options.batch_size, **fields)  # type: ignore[arg-type]
        steps[name] = step_of(settings, options.width, options.device)
        if options.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        steps[name]()
        first[name] = time.perf_counter() - started
        if options.device == "cuda":
            memory[name] = round(torch.cuda.max_memory_allocated() / 2**20)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(each) for name, each in seconds.items()}
    print(
        json.dumps(
            {
                "benchmark": "a training step / a step in single precision, channels first",
                "ratio": {name: round(each / median["none"], 2) for name, each in median.items()},
                "seconds of the first step": round(first["bf16-mixed, compile"], 1),
                "seconds": round(median["none"], 3),
                "peak memory in MiB": memory or None,
                "device": options.device,
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
