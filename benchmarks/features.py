"""What a training step costs with the features of frozen blocks kept, as a ratio to without.

    python benchmarks/features.py [TURNS]

MicroNet of width 16, 4 crops of 200², the everyday optimizer and loss on tensors that lie ready:
crops that were seen before, and crops that are new. CPU time of the process, the three by turns,
medians.
"""

from __future__ import annotations

import json
import statistics
import sys

import torch
from freezing import batch, ready, step_seconds
from torch import Tensor

COUNTS = (2, 5, 8)
TURNS = 7


def of_crops(first: int, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch as four crops of these numbers."""
    return {**drawn, "crop": torch.arange(first, first + 4)[:, None]}


def measure(freeze: int, turns: int) -> dict[str, object]:
    """Ratios of steps on seen and on new crops to a step without a cache."""
    drawn = batch()
    without, cached, filling = (ready(freeze) for _ in range(3))
    for module, _ in (cached, filling):
        module.keep_features()
    seconds: list[list[float]] = [[], [], []]
    for turn in range(turns + 1):
        taken = (
            step_seconds(*without, drawn),
            step_seconds(*cached, of_crops(0, drawn)),
            step_seconds(*filling, of_crops(4 * turn, drawn)),
        )
        if turn:
            for kept, each in zip(seconds, taken, strict=True):
                kept.append(each)
    plain, seen, new = map(statistics.median, seconds)
    features = cached[0].features
    kept_bytes = 0 if features is None else features.kept_bytes
    return {
        "benchmark": f"training step with kept features, freeze {freeze}",
        "ratio": round(seen / plain, 3),
        "ratio_new_crops": round(new / plain, 3),
        "cpu_seconds_without": round(plain, 3),
        "megabytes_a_crop": round(kept_bytes / 4e6, 2),
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    for freeze in COUNTS:
        print(json.dumps(measure(freeze, turns)), flush=True)


if __name__ == "__main__":
    main()
