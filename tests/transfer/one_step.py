"""One step of a training of any network, and what it changed."""

from __future__ import annotations

import numpy as np
import torch
from networks.tiny import tiny_options
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from toy import MPP, toy_detector, toy_image, toy_recipe

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.patches import normalise
from transfer_kit.detector import Detector
from transfer_kit.networks.base import needed_codec
from transfer_kit.training.module import DetectorModule

SIZE = 64


def tiny_detector(network: str) -> Detector:
    """A detector of a registered network, with batch norms that have seen something.

    They let something through: with two filters, all rectifiers could be silent.
    """
    codec = {"name": needed_codec(network) or "proximity", "options": {}}
    detector = toy_detector(
        network={"name": network, "options": tiny_options(network)}, codec=codec
    )
    generator = torch.Generator().manual_seed(3)
    for name, buffer in detector.network.named_buffers():
        if "running" in name:
            buffer.add_(torch.rand(buffer.shape, generator=generator))
    for module in detector.network.modules():
        if isinstance(module, _BatchNorm):
            nn.init.constant_(module.bias, 1.0)
    return detector


def module_of(detector: Detector, *, freeze=0, from_base=(), **fields) -> DetectorModule:
    """Ready to learn, with the fields of a recipe's `train`."""
    recipe = toy_recipe(**{f"train.{name}": value for name, value in fields.items()})
    return DetectorModule(detector, recipe.train, seed=0, freeze=freeze, from_base=from_base)


def batch_of(detector: Detector, count: int = 2) -> dict[str, torch.Tensor]:
    """Toy images of six round nuclei with the detector's targets."""
    pixels, targets = [], []
    rows, columns = np.indices((SIZE, SIZE))
    for number in range(count):
        image, points = toy_image(number, SIZE, 6)
        instances = np.zeros((SIZE, SIZE), np.int32)
        for place, (x, y) in enumerate(points, 1):
            instances[(columns - x) ** 2 + (rows - y) ** 2 <= 16] = place
        annotation = Annotation(points, ("",) * len(points), instances)
        rng = np.random.default_rng(number)
        targets.append(detector.codec.encode(annotation, (SIZE, SIZE), MPP, rng))
        pixels.append(normalise(image, detector.card.mean, detector.card.std))
    return {
        "image": torch.from_numpy(np.stack(pixels)),
        "target": torch.from_numpy(np.stack(targets)),
        "weight": torch.ones(count, 1, SIZE, SIZE),
    }


def take_step(module: DetectorModule, batch: dict[str, torch.Tensor]) -> None:
    """As Lightning takes it: mode, hook, loss, backward, optimizer."""
    optimizer = module.configure_optimizers()
    optimizer = optimizer["optimizer"] if isinstance(optimizer, dict) else optimizer
    module.train()
    module.on_train_batch_start(batch, 0)
    optimizer.zero_grad()
    # oneDNN writes beyond its memory in the backward pass of a 1 × 1 convolution of stride 2 whose
    # input has few channels, last in memory (seen with torch 2.15 at 2 to 8 channels, not at 16).
    with torch.backends.mkldnn.flags(enabled=False):
        module.training_step(batch, 0).backward()
    optimizer.step()


def tensors_of(block: nn.Module) -> list[torch.Tensor]:
    """Copies of its parameters and buffers."""
    return [value.detach().clone() for value in (*block.parameters(), *block.buffers())]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
