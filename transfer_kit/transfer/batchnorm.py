"""What batch norms do while a detector is fine-tuned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfer_kit.data.patches import normalise
from transfer_kit.data.resampling import resample_image, scale_factor
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.networks import Network
from transfer_kit.transfer.freezing import is_frozen

CROPS = 128
"""Of which statistics are recomputed: at 200² px they are those of 5 million pixels."""

CROPS_AT_ONCE = 16
"""Each layer normalises by as many crops at a time, from several images, while it is measured."""


def hold_statistics(network: nn.Module) -> None:
    """Let all batch norms use the stored statistics; their scale and shift may learn.

    A batch of crops from a handful of images says little about an organ's mean and variance, and
    statistics that follow it forget the base. To be called after every `network.train()`.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def recalibrate(detector: Detector, samples: Sequence[Sample], *, crop_px: int, seed: int) -> None:
    """Give the batch norms of blocks that learn the statistics of images; labels are not read.

    Frozen blocks keep theirs (AdaBN; Li et al. 2018, of all but frozen blocks).

    Args:
        detector: Changed in place.
        samples: Whose images, brought to the detector's stain and mpp.
        crop_px: Side of the crops.
        seed: Of their places.
    """
    crops = _crops(detector, samples, crop_px, seed)
    batches = (
        torch.stack(crops[start : start + CROPS_AT_ONCE]).to(detector.device)
        for start in range(0, len(crops), CROPS_AT_ONCE)
    )
    recompute_statistics(detector.network, batches)


def recompute_statistics(network: Network, batches: Iterable[Tensor]) -> None:
    """Replace stored statistics by those over all batches together, but for frozen blocks.

    Mean and variance are pooled over all pixels of all batches (precise batch norm; Wu and Johnson
    2021, section 3.1), where running averages would count the last batches most.

    Args:
        network: Changed in place, and left in evaluation mode.
        batches: Standardised images `(B, 3, H, W)`, at least one.
    """
    network.eval()
    pooled = [
        _Pooled(module)
        for _, block in network.blocks
        if not is_frozen(block)
        for module in block.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]
    hooks = [each.norm.register_forward_pre_hook(each.look) for each in pooled]
    momenta = [each.norm.momentum for each in pooled]
    for each in pooled:
        each.norm.train()
    try:
        with torch.no_grad():
            for batch in batches:
                network(batch)
    finally:
        for each, hook, momentum in zip(pooled, hooks, momenta, strict=True):
            hook.remove()
            each.norm.momentum = momentum
            each.norm.eval()
    for each in pooled:
        each.store()


@dataclass
class _Pooled:
    """Sums over all that a batch norm sees, in float64 on the CPU: not every device has that."""

    norm: _BatchNorm
    count: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0

    def look(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add an input `(B, C, …)`; to be called before the batch norm."""
        self.norm.momentum = 0.0  # the stored statistics are replaced at the end alone
        values = inputs[0].float().transpose(0, 1).flatten(1)
        spread, middle = (each.cpu().double() for each in torch.var_mean(values, 1, correction=0))
        self.count += values.shape[1]
        self.total = self.total + values.shape[1] * middle
        self.squares = self.squares + values.shape[1] * (spread + middle.square())

    def store(self) -> None:
        """Mean and unbiased variance of what was seen; a layer that saw nothing keeps its own."""
        if self.count < 2 or self.norm.running_mean is None or self.norm.running_var is None:
            return
        mean = torch.as_tensor(self.total) / self.count
        variance = (torch.as_tensor(self.squares) / self.count - mean.square()).clamp(min=0)
        self.norm.running_mean.copy_(mean)
        self.norm.running_var.copy_(variance * self.count / (self.count - 1))


def _crops(detector: Detector, samples: Sequence[Sample], size: int, seed: int) -> list[Tensor]:
    """`CROPS` standardised crops `(3, s, s)` of as many images as there are, in mixed order."""
    rng = np.random.default_rng(seed)
    chosen = [samples[place] for place in rng.permutation(len(samples))[:CROPS]]
    each = -(-CROPS // len(chosen))
    images = [image for sample in chosen for image in _places(detector, sample, size, each, rng)]
    # Images smaller than a crop give smaller ones, and a batch has one size.
    smallest = min(min(image.shape[1:]) for image in images)
    return [images[n][:, :smallest, :smallest] for n in rng.permutation(len(images))[:CROPS]]


def _places(
    detector: Detector, sample: Sample, size: int, count: int, rng: np.random.Generator
) -> Iterator[Tensor]:
    card = detector.card
    image = sample.image() if card.normaliser is None else card.normaliser(sample.image())
    image = resample_image(image, scale_factor(sample.mpp, card.mpp))
    rows, columns = (min(size, length) for length in image.shape[:2])
    for _ in range(count):
        top = int(rng.integers(image.shape[0] - rows + 1))
        left = int(rng.integers(image.shape[1] - columns + 1))
        crop = image[top : top + rows, left : left + columns]
        yield torch.from_numpy(normalise(crop, card.mean, card.std))
