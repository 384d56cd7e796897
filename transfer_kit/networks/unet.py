"""U-Net with batch norm, as DIST uses it (paper 003, section III and Eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from transfer_kit.networks.base import register_network
from transfer_kit.networks.blocks import (
    ConvolutionBlock,
    Interval,
    OutputConvolution,
    before_convolution,
    before_pooling,
    before_transposed,
    check_positive,
    initialise,
    widest_view,
)
from transfer_kit.networks.encoder_decoder import EncoderDecoder


class TwoConvolutions(nn.Sequential):
    """Twice a 3 × 3 convolution, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            ConvolutionBlock(inputs, outputs, activation=nn.ReLU),
            ConvolutionBlock(outputs, outputs, activation=nn.ReLU),
        )


class PooledConvolutions(nn.Module):
    """Halve the size by max-pooling, then two convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolutions = TwoConvolutions(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, outputs, H / 2, W / 2)`."""
        halved: Tensor = self.convolutions(functional.max_pool2d(x, 2))
        return halved


class JoinedConvolutions(nn.Module):
    """Double the size by a transposed convolution and ReLU, join the skip, two convolutions."""

    def __init__(self, inputs: int, skipped: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.convolutions = TwoConvolutions(outputs + skipped, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """`(B, outputs, H, W)` for a skip of height H and width W."""
        x = functional.relu(self.up(x), inplace=True)
        doubled: Tensor = self.convolutions(torch.cat([x, skip], dim=1))
        return doubled


@register_network("unet")
class UNet(EncoderDecoder):
    """U-Net of ten blocks: two convolutions each, four times down and up, and a 1 × 1 output.

    Filters double at each of the four depths, from `n_feat` to 16 `n_feat` (Ronneberger et al.
    2015). Unlike DIST's, convolutions keep the size instead of eating 92 pixels of a mirrored
    margin at each side, so that any crop gives maps of its own size. Images are padded with
    zeros to multiples of 16 and the maps cropped.

    Args:
        channels: Output maps.
        n_feat: Filters of the first convolution: 32 in DIST (7.8 M parameters), 16 for a
            quarter of its cost.

    Example:
        >>> import torch
        >>> UNet(channels=1, n_feat=4)(torch.zeros(2, 3, 75, 40)).shape
        torch.Size([2, 1, 75, 40])
    """

    def __init__(self, *, channels: int, n_feat: int = 32) -> None:
        super().__init__()
        for option, value in (("channels", channels), ("n_feat", n_feat)):
            check_positive("unet", option, value)
        n = n_feat
        self.input = TwoConvolutions(3, n)
        self.down1 = PooledConvolutions(n, 2 * n)
        self.down2 = PooledConvolutions(2 * n, 4 * n)
        self.down3 = PooledConvolutions(4 * n, 8 * n)
        self.down4 = PooledConvolutions(8 * n, 16 * n)
        self.up1 = JoinedConvolutions(16 * n, 8 * n, 8 * n)
        self.up2 = JoinedConvolutions(8 * n, 4 * n, 4 * n)
        self.up3 = JoinedConvolutions(4 * n, 2 * n, 2 * n)
        self.up4 = JoinedConvolutions(2 * n, n, n)
        self.output = OutputConvolution(n, channels, kernel=1)
        initialise(self)

    @property
    def receptive_field(self) -> int:
        """The way through the deepest block is the widest."""
        return widest_view(_seen_from, self.stride)


def _seen_from(position: int) -> Interval:
    """First and last input pixel along one axis on the deepest way to an output pixel."""
    seen = position, position
    for _ in ("up4", "up3", "up2", "up1"):
        seen = before_transposed(before_convolution(before_convolution(seen)))
    for _ in ("down4", "down3", "down2", "down1"):
        seen = before_pooling(before_convolution(before_convolution(seen)))
    return before_convolution(before_convolution(seen))
