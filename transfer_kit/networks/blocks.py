"""Layers that several networks share."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from transfer_kit.errors import UserError

Interval = tuple[int, int]


class ConvolutionBlock(nn.Sequential):
    """Convolution without bias, batch norm, ELU or ReLU; `same` padding before the stride."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        activation: type[nn.ELU] | type[nn.ReLU] = nn.ELU,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = activation(inplace=True)


class OutputConvolution(nn.Conv2d):
    """The last convolution: `same` padding, linear, in the weights' type also under autocast.

    Eight bits of mantissa would make plateaus of the peaks that a codec must tell apart.
    """

    def __init__(self, inputs: int, channels: int, *, kernel: int) -> None:
        super().__init__(inputs, channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, channels, H, W)` float32."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))

    def reset_parameters(self) -> None:
        """Maps start near zero, which most of a target is."""
        nn.init.normal_(self.weight, std=0.001)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class Upscore(nn.ConvTranspose2d):
    """Doubles maps of scores; starts as bilinear interpolation, each map for itself, and learns.

    Linear, in the weights' type also under autocast (FCN, Long et al. 2015, section 3.3).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """`(B, channels, 2 H, 2 W)` float32."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype), output_size)

    def reset_parameters(self) -> None:
        """Bilinear interpolation by two."""
        side = torch.tensor([0.25, 0.75, 0.75, 0.25])
        with torch.no_grad():
            self.weight.zero_()
            for channel in range(self.in_channels):
                self.weight[channel, channel] = side[:, None] * side


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
        even = _filled_or_cut(x, -(height % 2), -(width % 2))
        halved: Tensor = self.residual(self.down(even))
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
    return _filled_or_cut(x, like.shape[-2] - x.shape[-2], like.shape[-1] - x.shape[-1])


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """`x` with zeros below and to the right, so that `multiple` divides height and width."""
    height, width = ((size + multiple - 1) // multiple * multiple for size in x.shape[-2:])
    return _filled_or_cut(x, height - x.shape[-2], width - x.shape[-1])


def cut_to(x: Tensor, like: Tensor) -> Tensor:
    """`x` without the rows and columns that it has more than `like`."""
    return _filled_or_cut(x, like.shape[-2] - x.shape[-2], like.shape[-1] - x.shape[-1])


def _filled_or_cut(x: Tensor, rows: int, columns: int) -> Tensor:
    """`x` with so many more rows below and columns to the right, or fewer where negative."""
    # A branch on sizes would tie an exported program to the sizes that it was exported with.
    if not torch.compiler.is_exporting() and rows == columns == 0:
        return x
    return functional.pad(x, (0, columns, 0, rows))


def initialise(network: nn.Module) -> None:
    """He's initialisation for ELU as for ReLU; biases zero, batch norms one and zero.

    A transposed convolution of kernel = stride starts as nearest-neighbour upsampling of a
    random projection: alike at every position of its kernel, so that it begins without a grid.
    """
    for module in network.modules():
        if isinstance(module, (OutputConvolution, Upscore)):
            module.reset_parameters()
            continue
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


def before_pooling(interval: Interval, *, stride: int = 2) -> Interval:
    """The same for pooling in windows as wide as their stride."""
    first, last = interval
    return first * stride, last * stride + stride - 1


def before_transposed(interval: Interval, *, stride: int = 2) -> Interval:
    """The same for a transposed convolution of kernel = stride, and for nearest upsampling."""
    first, last = interval
    return first // stride, last // stride


def before_bilinear(interval: Interval, *, stride: int = 2) -> Interval:
    """The same for bilinear upsampling by an even stride, and for `Upscore`."""
    first, last = interval
    return (2 * first + 1 - stride) // (2 * stride), (2 * last + 1 - stride) // (2 * stride) + 1


def widest_view(seen_from: Callable[[int], Interval], stride: int) -> int:
    """The receptive field: twice the farthest that any kind of output pixel sees, and itself.

    Args:
        seen_from: First and last input pixel that an output pixel sees along one axis.
        stride: Output pixels this far apart are of one kind.
    """
    reach = 0
    for position in range(stride):
        first, last = seen_from(position)
        reach = max(reach, position - first, last - position)
    return 2 * reach + 1


def check_positive(network: str, option: str, value: int) -> None:
    """Raise a UserError unless `value` is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(
            f"The option {option!r} of the network {network!r} must be a whole number of at "
            f"least 1, but got {value!r}."
        )


def check_rate(network: str, option: str, value: float) -> None:
    """Raise a UserError unless `value` is a number from 0 on, below 1."""
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise UserError(
            f"The option {option!r} of the network {network!r} must lie in [0, 1), but got "
            f"{value!r}."
        )
