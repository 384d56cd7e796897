"""MicroNet: the residual regression network of Xing et al. 2019 (paper 002, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from transfer_kit.errors import UserError
from transfer_kit.networks.base import Network, register_network
from transfer_kit.networks.blocks import (
    ConvolutionBlock,
    DownBlock,
    Interval,
    UpBlock,
    before_convolution,
    before_transposed,
    check_positive,
    initialise,
    pad_to,
)


class OutputBlock(nn.Module):
    """Multi-context aggregation and two 3 × 3 convolutions (the output transition block).

    Transposed convolutions bring the down-sampled maps of depths 4, 8 and 16 to full size, a
    few channels each, and lay them beside the last map. The paper does not count them among
    its ten blocks; they belong to this one, so that freezing the first nine leaves everything
    free that only the output needs.
    """

    def __init__(self, last: int, deeper: Sequence[int], *, context: int, channels: int) -> None:
        super().__init__()
        self.context = nn.ModuleList(
            nn.ConvTranspose2d(inputs, context, stride, stride=stride)
            for inputs, stride in zip(deeper, (4, 8, 16), strict=True)
        )
        self.join = ConvolutionBlock(last + context * len(deeper), last)
        self.maps = nn.Conv2d(last, channels, 3, padding=1)

    def forward(self, x: Tensor, deeper: Sequence[Tensor]) -> Tensor:
        """`(B, channels, H, W)` float32 for a last map `x` of height H and width W."""
        contexts = [pad_to(up(maps), x) for up, maps in zip(self.context, deeper, strict=True)]
        joined: Tensor = self.join(torch.cat([x, *contexts], dim=1))
        # Eight bits of mantissa would make plateaus of the peaks that a codec must tell apart.
        with torch.autocast(x.device.type, enabled=False):
            maps: Tensor = self.maps(joined.to(self.maps.weight.dtype))
        return maps


@register_network("micronet")
class MicroNet(Network):
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

    stride: ClassVar[int] = 16

    def __init__(
        self, *, channels: int, width: int = 32, dropout: float = 0.5, context: int = 4
    ) -> None:
        super().__init__()
        for option, value in (("channels", channels), ("width", width), ("context", context)):
            check_positive("micronet", option, value)
        if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise UserError(
                f"The option 'dropout' of the network 'micronet' must lie in [0, 1), but got "
                f"{dropout!r}."
            )
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
        self.output = OutputBlock(w, (4 * w, 8 * w, 8 * w), context=context, channels=channels)
        initialise(self)
        # Maps start near zero, which most of a target is.
        nn.init.normal_(self.output.maps.weight, std=0.001)

    @property
    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
        """The ten blocks of the paper, 1 `input` to 10 `output`."""
        return tuple(self.named_children())

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32 of images `(B, 3, H, W)`."""
        height, width = images.shape[-2:]
        if height < self.stride or width < self.stride:
            below, right = max(0, self.stride - height), max(0, self.stride - width)
            images = functional.pad(images, (0, right, 0, below))
        full = self.input(images)
        half = self.down1(full)
        quarter = self.down2(half)
        eighth = self.down3(quarter)
        deepest = self.down4(eighth)
        x = self.up1(deepest, eighth)
        x = self.up2(x, quarter)
        x = self.up3(x, half)
        x = self.up4(x, full)
        maps: Tensor = self.output(x, (quarter, eighth, deepest))
        return maps[..., :height, :width]

    @property
    def receptive_field(self) -> int:
        """Twice the farthest that any of the 16 × 16 kinds of output pixel sees, and itself."""
        reach = 0
        for position in range(self.stride):
            first, last = _seen_from(position)
            reach = max(reach, position - first, last - position)
        return 2 * reach + 1


def _seen_from(position: int) -> Interval:
    """First and last input pixel along one axis on the deepest way to an output pixel."""
    seen = position, position
    for _ in ("maps", "join"):
        seen = before_convolution(seen)
    for _ in ("up4", "up3", "up2", "up1"):
        seen = before_transposed(before_convolution(before_convolution(seen)))
    for _ in ("down4", "down3", "down2", "down1"):
        seen = before_convolution(before_convolution(before_convolution(seen)), stride=2)
    return before_convolution(seen)
