"""Counts the time and the multiply-adds of a PyTorch network while it runs."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Tally:
    """What `network` did since `begin`, from hooks around its forward."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.seconds = 0.0
        self.shapes: Counter[tuple[int, ...]] = Counter()
        self._hooks = [
            network.register_forward_pre_hook(self._before),
            network.register_forward_hook(self._after),
        ]

    def begin(self) -> None:
        """Forget what was counted."""
        self.seconds = 0.0
        self.shapes.clear()

    def _before(self, network: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.shapes[tuple(inputs[0].shape)] += 1
        self._started = time.perf_counter()

    def _after(self, network: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.seconds += time.perf_counter() - self._started

    @property
    def parameters(self) -> int:
        """Of the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def macs(self, counted: nn.Module | None = None) -> float:
        """Multiply-adds of all calls; of one image a shape, times their number.

        Args:
            counted: In place of the network, where its operations cannot be seen.
        """
        counted = self.network if counted is None else counted
        for hook in self._hooks:
            hook.remove()
        own = next(counted.parameters())
        total = 0.0
        for shape, calls in self.shapes.items():
            with FlopCounterMode(display=False) as counter, torch.inference_mode():
                counted(torch.zeros(1, *shape[1:], dtype=own.dtype))
            total += counter.get_total_flops() / 2 * shape[0] * calls
        return total
