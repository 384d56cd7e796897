"""The residual trunk of MicroNet and KiNet (Xing et al. 2019; papers 002 and 001, Fig. 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from transfer_kit.networks.blocks import (
    ConvolutionBlock,
    DownBlock,
    Interval,
    UpBlock,
    before_convolution,
    before_transposed,
    check_positive,
    check_rate,
    pad_to,
)
from transfer_kit.networks.encoder_decoder import EncoderDecoder, Levels


class ResidualUNet(EncoderDecoder):
    """Nine of the ten blocks: input transition, four residual blocks down and four up.

    Filters double with each block down, except in the last. Down-sampling floors odd sizes and
    up-sampling pads with zeros, as in the papers.

    Args:
        name: The network's own, for what a user is told.
        width: Filters of the input block.
        dropout: Rate after the convolutions of the last two down blocks.
    """

    def __init__(self, name: str, *, width: int, dropout: float) -> None:
        super().__init__()
        check_positive(name, "width", width)
        check_rate(name, "dropout", dropout)
        w = width
        self.input = ConvolutionBlock(3, w)
        self.down1 = DownBlock(w, 2 * w)
        self.down2 = DownBlock(2 * w, 4 * w)
        self.down3 = DownBlock(4 * w, 8 * w, dropout=dropout)
        self.down4 = DownBlock(8 * w, 8 * w, dropout=dropout)
        self.up1 = UpBlock(8 * w, 8 * w, 8 * w)
        self.up2 = UpBlock(8 * w, 4 * w, 4 * w)
        self.up3 = UpBlock(4 * w, 2 * w, 2 * w)
        self.up4 = UpBlock(2 * w, w, w)

    def padded_levels(self, images: Tensor) -> Levels:
        """The levels of images padded with zeros, where they are smaller, to the stride."""
        height, width = images.shape[-2:]
        if height < self.stride or width < self.stride:
            below, right = max(0, self.stride - height), max(0, self.stride - width)
            images = functional.pad(images, (0, right, 0, below))
        return self.levels(images)


class MultiContextAggregation(nn.ModuleList):
    """The maps of depths 4, 8 and 16 brought to full size and laid beside the last map.

    Transposed convolutions bring a few channels of each. The papers do not count them among
    their ten blocks; they belong to the output block, so that freezing the first nine leaves
    everything free that only the output needs.

    Args:
        width: Filters of the input block.
        context: Channels that each of the three depths gives.
    """

    def __init__(self, width: int, *, context: int) -> None:
        depths = ((4 * width, 4), (8 * width, 8), (8 * width, 16))
        super().__init__(
            nn.ConvTranspose2d(inputs, context, stride, stride=stride) for inputs, stride in depths
        )
        self.outputs = width + context * len(depths)

    def forward(self, levels: Levels) -> Tensor:
        """`(B, outputs, H, W)`."""
        deeper = (levels.quarter, levels.eighth, levels.deepest)
        contexts = [pad_to(up(maps), levels.last) for up, maps in zip(self, deeper, strict=True)]
        return torch.cat([levels.last, *contexts], dim=1)


def seen_from(position: int, *, depth: int) -> Interval:
    """First and last input pixel along one axis on the deepest way to an output pixel.

    Args:
        position: The output pixel's.
        depth: How many blocks go down, and as many up; two convolutions follow them.
    """
    seen = before_convolution(before_convolution((position, position)))
    for _ in range(depth):  # up
        seen = before_transposed(before_convolution(before_convolution(seen)))
    for _ in range(depth):  # down
        seen = before_convolution(before_convolution(before_convolution(seen)), stride=2)
    return before_convolution(seen)
