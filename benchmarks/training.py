"""A training step with crops, augmentation and encoding, as a ratio to the bare network step.

Width 16, 4 crops of 200², the everyday augmentation; in one process, by turns. The bare step is
forward, loss, backward and optimizer on tensors that lie ready.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch

from transfer_kit.card import DetectorCard
from transfer_kit.data.synthetic import make_dataset
from transfer_kit.detector import Detector
from transfer_kit.recipe import Recipe
from transfer_kit.settings import CodecSettings, NetworkSettings
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.training.batches import numbered_patches, patch_loader
from transfer_kit.training.module import DetectorModule
from transfer_kit.training.trainer import make_trainer

STEPS, TURNS = 12, 4


class StepTimes(lightning.Callback):
    """Seconds from the end of one step to the end of the next."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.ends.append(time.perf_counter())

    def steps(self) -> list[float]:
        return [b - a for a, b in zip(self.ends, self.ends[1:], strict=False)]


def bare_steps(module: DetectorModule, batch: dict[str, torch.Tensor]) -> Iterator[float]:
    optimizer = module.configure_optimizers()["optimizer"]
    codec = module.detector.codec
    image = batch["image"].contiguous(memory_format=torch.channels_last)
    module.network.train()
    for _ in range(STEPS):
        started = time.perf_counter()
        loss = codec.loss(module.network(image), batch["target"], batch["weight"]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.network.parameters(), 1.0)
        optimizer.step()
        yield time.perf_counter() - started


def main() -> None:
    recipe = Recipe(target="eye", train={"steps": STEPS, "validate_every": STEPS})
    with tempfile.TemporaryDirectory() as folder:
        make_dataset("eye", Path(folder) / "eye", cases=6)
        samples = list(find_dataset(Path(folder) / "eye"))
        card = DetectorCard(
            name="bare",
            mpp=0.25,
            mean=(0.7, 0.5, 0.7),
            std=(0.2, 0.2, 0.2),
            network=NetworkSettings(),
            codec=CodecSettings(),
            threshold=0.5,
        )
        whole: list[float] = []
        bare: list[float] = []
        for _ in range(TURNS):
            module = DetectorModule(Detector.fresh(card, seed=0), recipe.train, seed=0)
            times = StepTimes()
            trainer = make_trainer(recipe.train, module, "cpu", [times])
            patches = numbered_patches(module.detector, samples, (), recipe)
            loader = patch_loader(patches, recipe.train, start_step=0, pinned=False)
            module.train()
            trainer.fit(module, loader)
            whole += times.steps()[1:]
            bare += list(bare_steps(module, next(iter(loader))))[2:]
    ratio = statistics.median(whole) / statistics.median(bare)
    print(
        json.dumps(
            {
                "benchmark": "training step with data / bare network step",
                "ratio": round(ratio, 3),
                "goal": 1.15,
                "step_seconds": round(statistics.median(whole), 3),
                "bare_seconds": round(statistics.median(bare), 3),
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
