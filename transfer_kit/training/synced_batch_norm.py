"""Batch norm over the batches of all processes, so that several train as one would.

torch's SyncBatchNorm works on GPUs alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from transfer_kit.errors import UserError
from transfer_kit.training import processes


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` whose mean and variance in training are those of all processes' batches.

    Each process has as many images of equal size.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`(B, C, H, W)`, as the batch norm of the `(processes * B, C, H, W)` would give."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        # Twice around, since the mean of squares less the square of the mean loses digits.
        mean = _mean_of_all(x.mean((0, 2, 3)))
        apart = x - mean[:, None, None]
        variance = _mean_of_all(apart.square().mean((0, 2, 3)))
        self._follow(mean.detach(), variance.detach(), x.numel() // x.shape[1])
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        normalised = apart * scale[:, None, None]
        if self.affine:
            normalised = normalised + self.bias[:, None, None]
        return normalised.to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Stored statistics move as those of `BatchNorm2d`, with the unbiased variance."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None  # noqa: S101 - for the type checker
        self.num_batches_tracked += 1
        share = self.momentum
        if share is None:
            share = 1 / float(self.num_batches_tracked)
        values *= processes.count()
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (values / (values - 1)), share)


def sync_batch_norms(network: nn.Module) -> None:
    """Let all batch norms that follow the batches look at those of all processes.

    Raises:
        UserError: the network has batch norms of another kind.
    """
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedBatchNorm2d
        elif isinstance(module, _BatchNorm) and not isinstance(module, SyncedBatchNorm2d):
            raise UserError(
                f"The network's batch norms ({type(module).__name__}) cannot be computed over "
                "several devices; set train.batch_norm: frozen, or use one device."
            )


def part_batch_norms(network: nn.Module) -> None:
    """Undo `sync_batch_norms`."""
    for module in network.modules():
        if isinstance(module, SyncedBatchNorm2d):
            module.__class__ = nn.BatchNorm2d  # type: ignore[assignment]


def _mean_of_all(values: Tensor) -> Tensor:
    total: Tensor = all_reduce(values)  # type: ignore[no-untyped-call]
    return total / processes.count()
