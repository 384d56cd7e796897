"""What a training step costs with the first blocks frozen, as a ratio to none frozen.

    python benchmarks/freezing.py

MicroNet of width 16, 4 crops of 200², the everyday optimizer and loss on tensors that lie ready.
CPU time of the process, the forms by turns, medians; also the operations of the backward graph,
which do not depend on the machine.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import torch
from torch import Tensor

from transfer_kit.card import DetectorCard
from transfer_kit.detector import Detector
from transfer_kit.freeze_forms import Freeze, write_freeze
from transfer_kit.recipe import Recipe
from transfer_kit.settings import CodecSettings, NetworkSettings
from transfer_kit.training.module import DetectorModule

FORMS: tuple[Freeze, ...] = (0, 2, 4, 8)
TURNS = 7


def ready(freeze: Freeze) -> tuple[DetectorModule, Any]:
    """A module with what is frozen, and its optimizer."""
    card = DetectorCard(
        name="bare",
        mpp=0.25,
        mean=(0.7, 0.5, 0.7),
        std=(0.2, 0.2, 0.2),
        network=NetworkSettings(),
        codec=CodecSettings(),
        threshold=0.5,
    )
    module = DetectorModule(
        Detector.fresh(card, seed=0), Recipe(target="eye").train, seed=0, freeze=freeze
    )
    module.train()
    return module, module.configure_optimizers()["optimizer"]


def batch() -> dict[str, Tensor]:
    """Noise in place of images and targets; a step costs the same."""
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(4, 3, 200, 200, generator=generator),
        "target": torch.rand(4, 1, 200, 200, generator=generator),
        "weight": torch.ones(4, 1, 200, 200),
    }


def step_seconds(module: DetectorModule, optimizer: Any, drawn: dict[str, Tensor]) -> float:
    """CPU time of one step."""
    started = time.process_time()
    module.on_train_batch_start(drawn, 0)
    optimizer.zero_grad()
    module.training_step(drawn, 0).backward()
    torch.nn.utils.clip_grad_norm_(module.network.parameters(), 1.0)
    optimizer.step()
    return time.process_time() - started


def backward_operations(module: DetectorModule, drawn: dict[str, Tensor]) -> int:
    """Nodes of the graph that the backward pass walks."""
    found: set[Any] = set()
    waiting = [module.training_step(drawn, 0).grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [following for following, _ in node.next_functions]
    return len(found)


def main() -> None:
    drawn = batch()
    prepared = [ready(freeze) for freeze in FORMS]
    seconds: list[list[float]] = [[] for _ in FORMS]
    for turn in range(TURNS):
        for place, (module, optimizer) in enumerate(prepared):
            taken = step_seconds(module, optimizer, drawn)
            if turn:
                seconds[place].append(taken)
    whole = statistics.median(seconds[0])
    for freeze, times, (module, _) in zip(FORMS, seconds, prepared, strict=True):
        print(
            json.dumps(
                {
                    "benchmark": f"training step, freeze {write_freeze(freeze)}",
                    "ratio": round(statistics.median(times) / whole, 3),
                    "cpu_seconds": round(statistics.median(times), 3),
                    "backward_operations": backward_operations(module, drawn),
                    "threads": torch.get_num_threads(),
                }
            )
        )


if __name__ == "__main__":
    main()
