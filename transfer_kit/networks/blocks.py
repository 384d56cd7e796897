"""Layers that several networks share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from transfer_kit.errors import UserError

Interval = tuple[int, int]


class ConvolutionBlock(nn.Sequential):
    """Convolution without bias, batch norm, ELU; `same` padding before the stride."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = nn.ELU(inplace=True)


class Residual(nn.Module):
    """ELU(x + f(x)): f is `depth` 3 × 3 convolutions with batch norm, ELU between them.

    Dropout, where there is any, comes once, after the last convolution of f.
    """

    def __init__(self, channels: int, *, depth: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.mapping = nn.Sequential(
            *(ConvolutionBlock(channels, channels) for _ in range(depth - 1))
        )
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        mapped: Tensor = self.dropout(self.norm(self.convolution(self.mapping(x))))
        return functional.elu(mapped + x, inplace=True)


class DownBlock(nn.Module):
    """Halve the size (floor) by a strided 3 × 3 convolution, then a residual of two."""

    def __init__(self, inputs: int, outputs: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.down = ConvolutionBlock(inputs, outputs, stride=2)
        self.residual = Residual(outputs, depth=2, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, outputs, H // 2, W // 2)`."""
        height, width = x.shape[-2:]
        # Without its odd last row and column the padded convolution halves by floor, not ceiling.
        x = x[..., : height // 2 * 2, : width // 2 * 2]
        halved: Tensor = self.residual(self.down(x))
        return halved


class UpBlock(nn.Module):
    """Double the size by a transposed convolution, join the skip, then a residual of one."""

    def __init__(self, inputs: int, skipped: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.join = ConvolutionBlock(outputs + skipped, outputs)
        self.residual = Residual(outputs, depth=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """`(B, outputs, H, W)` for a skip of height H and width W."""
        x = functional.elu(self.norm(self.up(x)), inplace=True)
        joined: Tensor = self.join(torch.cat([pad_to(x, skip), skip], dim=1))
        doubled: Tensor = self.residual(joined)
        return doubled


def pad_to(x: Tensor, like: Tensor) -> Tensor:
    """`x` with zeros below and to the right, up to the height and width of `like`."""
    if x.shape[-2:] == like.shape[-2:]:
        return x
    rows, columns = like.shape[-2] - x.shape[-2], like.shape[-1] - x.shape[-1]
    return functional.pad(x, (0, columns, 0, rows))


def initialise(network: nn.Module) -> None:
    """He's initialisation for ELU as for ReLU; biases zero, batch norms one and zero.

    A transposed convolution of kernel = stride starts as nearest-neighbour upsampling of a
    random projection: alike at every position of its kernel, so that it begins without a grid.
    """
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            inputs, outputs = module.weight.shape[:2]
            projection = torch.randn(inputs, outputs, 1, 1) * math.sqrt(2 / inputs)
            module.weight.data.copy_(projection.expand_as(module.weight))
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.bias is not None:
            nn.init.zeros_(module.bias)


def before_convolution(interval: Interval, *, kernel: int = 3, stride: int = 1) -> Interval:
    """First and last input pixel (along one axis) that a range of output pixels depends on."""
    first, last = interval
    return first * stride - kernel // 2, last * stride - kernel // 2 + kernel - 1


def before_transposed(interval: Interval, *, stride: int = 2) -> Interval:
    """The same for a transposed convolution of kernel = stride."""
    first, last = interval
    return first // stride, last // stride


def check_positive(network: str, option: str, value: int) -> None:
    """Raise a UserError unless `value` is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(
            f"The option {option!r} of the network {network!r} must be a whole number of at "
            f"least 1, but got {value!r}."
        )
