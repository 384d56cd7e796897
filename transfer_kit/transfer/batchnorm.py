"""What batch norms do while a detector is fine-tuned."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def hold_statistics(network: nn.Module) -> None:
    """Let all batch norms use the base's stored statistics; their scale and shift may learn.

    A batch of crops from a handful of images says little about an organ's mean and variance, and
    statistics that follow it forget the base. To be called after every `network.train()`.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
