"""FRCN: the fully residual convolutional network of Xie et al. 2018.

"Efficient and robust cell detection: a structured regression approach", Medical Image Analysis
44. Papers 001 ([50]) and 002 ([52]) both mean this network when they write FRCN; structured
regression is its title's word for regressing a proximity map, which is the codec's part here.
The papers at hand do not draw it: its layers are those of a public re-implementation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from transfer_kit.networks.base import register_network
from transfer_kit.networks.blocks import (
    Interval,
    OutputConvolution,
    before_convolution,
    before_pooling,
    before_transposed,
    check_positive,
    check_rate,
    initialise,
    widest_view,
)
from transfer_kit.networks.encoder_decoder import EncoderDecoder

RESIDUAL_SCALE = 0.3
"""What a residual is multiplied with before it is added: without batch norm, sums would grow."""


class ScaledResidual(nn.Module):
    """x + 0.3 f(x): f is ELU, 3 × 3 convolution, dropout, ELU, 3 × 3 convolution.

    Where the number of channels changes, a 1 × 1 convolution brings x to it.
    """

    def __init__(self, inputs: int, outputs: int, *, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, outputs, H, W)`."""
        residual = self.dropout(self.first(functional.elu(x)))
        residual = self.second(functional.elu(residual, inplace=True))
        total: Tensor = self.shortcut(x) + RESIDUAL_SCALE * residual
        return total


class InputBlock(nn.Sequential):
    """A 3 × 3 convolution, then a residual."""

    def __init__(self, outputs: int, *, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, outputs, 3, padding=1)
        self.residual = ScaledResidual(outputs, outputs, dropout=dropout)


class DownBlock(nn.Sequential):
    """A 3 × 3 convolution to more filters, average pooling by two, then a residual."""

    def __init__(self, inputs: int, outputs: int, *, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.pool = nn.AvgPool2d(2)
        self.residual = ScaledResidual(outputs, outputs, dropout=dropout)


class UpBlock(nn.Module):
    """Nearest upsampling by two, the skip beside it, then a residual."""

    def __init__(self, inputs: int, skipped: int, outputs: int, *, dropout: float) -> None:
        super().__init__()
        self.residual = ScaledResidual(inputs + skipped, outputs, dropout=dropout)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """`(B, outputs, H, W)` for a skip of height H and width W."""
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        doubled: Tensor = self.residual(torch.cat([x, skip], dim=1))
        return doubled


@register_network("frcn")
class FRCN(EncoderDecoder):
    """Ten blocks of scaled residuals, four times down and up with concatenated skips.

    No batch norm; dropout within each residual. Images are padded with zeros to multiples of 16
    and the maps cropped.

    Args:
        channels: Output maps.
        width: Filters of the input block: 32 for the full size (6.5 M parameters), 16 for a
            quarter of its cost.
        dropout: Rate within each residual.
    """

    def __init__(self, *, channels: int, width: int = 32, dropout: float = 0.1) -> None:
        super().__init__()
        for option, value in (("channels", channels), ("width", width)):
            check_positive("frcn", option, value)
        check_rate("frcn", "dropout", dropout)
        w = width
        self.input = InputBlock(w, dropout=dropout)
        self.down1 = DownBlock(w, 2 * w, dropout=dropout)
        self.down2 = DownBlock(2 * w, 4 * w, dropout=dropout)
        self.down3 = DownBlock(4 * w, 8 * w, dropout=dropout)
        self.down4 = DownBlock(8 * w, 8 * w, dropout=dropout)
        self.up1 = UpBlock(8 * w, 8 * w, 8 * w, dropout=dropout)
        self.up2 = UpBlock(8 * w, 4 * w, 4 * w, dropout=dropout)
        self.up3 = UpBlock(4 * w, 2 * w, 2 * w, dropout=dropout)
        self.up4 = UpBlock(2 * w, w, w, dropout=dropout)
        self.output = OutputConvolution(w, channels, kernel=3)
        initialise(self)

    @property
    def receptive_field(self) -> int:
        """The way through the deepest block is the widest."""
        return widest_view(_seen_from, self.stride)


def _seen_from(position: int) -> Interval:
    """First and last input pixel along one axis on the deepest way to an output pixel."""
    seen = before_convolution((position, position))
    for _ in ("up4", "up3", "up2", "up1"):
        seen = before_transposed(before_convolution(before_convolution(seen)))
    for _ in ("down4", "down3", "down2", "down1"):
        seen = before_pooling(before_convolution(before_convolution(seen)))
        seen = before_convolution(seen)
    return before_convolution(before_convolution(before_convolution(seen)))
