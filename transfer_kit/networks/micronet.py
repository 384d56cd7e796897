"""MicroNet: the residual regression network of Xing et al. 2019 (paper 002, Fig. 2)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from transfer_kit.networks.base import register_network
from transfer_kit.networks.blocks import (
    ConvolutionBlock,
    check_positive,
    initialise,
    widest_view,
)
from transfer_kit.networks.encoder_decoder import Levels
from transfer_kit.networks.residual_unet import MultiContextAggregation, ResidualUNet, seen_from


class OutputBlock(nn.Module):
    """Multi-context aggregation and two 3 × 3 convolutions (the output transition block)."""

    def __init__(self, width: int, *, context: int, channels: int) -> None:
        super().__init__()
        self.context = MultiContextAggregation(width, context=context)
        self.join = ConvolutionBlock(self.context.outputs, width)
        self.maps = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, levels: Levels) -> Tensor:
        """`(B, channels, H, W)` float32."""
        joined: Tensor = self.join(self.context(levels))
        # Eight bits of mantissa would make plateaus of the peaks that a codec must tell apart.
        with torch.autocast(joined.device.type, enabled=False):
            maps: Tensor = self.maps(joined.to(self.maps.weight.dtype))
        return maps


@register_network("micronet")
class MicroNet(ResidualUNet):
    """Residual U-Net of ten blocks with multi-context aggregation.

    Input transition (one convolution), four residual blocks down (filters double, except in
    the last), four up with concatenated skips, output transition. Down-sampling floors odd
    sizes and up-sampling pads with zeros, as in the paper. Images below 16 pixels are padded
    with zeros to 16 and the maps cropped; a training step needs more than one value a channel
    at the deepest level, so 32 × 16 pixels or two images. Fastest on CPU in channels-last.

    The output is linear; the sigmoid of the paper's Eq. 3 is the authors' other option.

    Args:
        channels: Output maps.
        width: Filters of the input block: 32 in the paper (7.2 M parameters), 16 every day
            (1.8 M).
        dropout: Rate after the convolutions of the last two down blocks.
        context: Channels that each of three depths gives to the aggregation.

    Example:
        >>> import torch
        >>> MicroNet(channels=1, width=4)(torch.zeros(2, 3, 75, 40)).shape
        torch.Size([2, 1, 75, 40])
    """

    output: OutputBlock

    def __init__(
        self, *, channels: int, width: int = 32, dropout: float = 0.5, context: int = 4
    ) -> None:
        for option, value in (("channels", channels), ("context", context)):
            check_positive("micronet", option, value)
        super().__init__("micronet", width=width, dropout=dropout)
        self.output = OutputBlock(width, context=context, channels=channels)
        initialise(self)
        # Maps start near zero, which most of a target is.
        nn.init.normal_(self.output.maps.weight, std=0.001)

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32 of images `(B, 3, H, W)`."""
        height, width = images.shape[-2:]
        maps: Tensor = self.output(self.padded_levels(images))
        return maps[..., :height, :width]

    @property
    def receptive_field(self) -> int:
        """Twice the farthest that any of the 16 × 16 kinds of output pixel sees, and itself."""
        return widest_view(partial(seen_from, depth=4), self.stride)
