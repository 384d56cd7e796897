"""KiNet: nuclei by class beside regions, of Xing et al. 2019 (paper 001, Fig. 2)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from transfer_kit.errors import UserError
from transfer_kit.networks.base import register_network
from transfer_kit.networks.blocks import (
    ConvolutionBlock,
    DownBlock,
    OutputConvolution,
    UpBlock,
    check_positive,
    initialise,
    widest_view,
)
from transfer_kit.networks.encoder_decoder import Levels
from transfer_kit.networks.residual_unet import MultiContextAggregation, ResidualUNet, seen_from


class NucleusHead(nn.Module):
    """Multi-context aggregation, then two 3 × 3 convolutions for each class, side by side."""

    def __init__(self, width: int, *, context: int, channels: int) -> None:
        super().__init__()
        self.context = MultiContextAggregation(width, context=context)
        joined = self.context.outputs
        self.of_class = nn.ModuleList(TwoConvolutions(joined, width, 1) for _ in range(channels))

    def forward(self, levels: Levels) -> Tensor:
        """`(B, channels, H, W)` float32."""
        joined = self.context(levels)
        return torch.cat([head(joined) for head in self.of_class], dim=1)


class TwoConvolutions(nn.Sequential):
    """Two successive 3 × 3 convolutions, the second linear: the end of either branch."""

    def __init__(self, inputs: int, hidden: int, maps: int) -> None:
        super().__init__()
        self.hidden = ConvolutionBlock(inputs, hidden)
        self.maps = OutputConvolution(hidden, maps, kernel=3)


@register_network("kinet")
class KiNet(ResidualUNet):
    """MicroNet's contraction and expansion, one map a class, and a sibling branch for regions.

    The branch goes one residual block deeper, which gives it a wider view, and comes back to full
    size in five up blocks that join the shared maps as the nuclei's do. Its filters, of which only
    the paper's figure tells, are as many as the nuclei's at each depth. Sizes, padding and the
    least batch are as in MicroNet, with 32 in place of 16.

    Args:
        channels: Output maps: those of the nuclei, then those of the regions.
        regions: How many of them are maps of regions; 0 is oKiNet, without the branch.
        width: Filters of the input block: 32 in the paper (13.5 M parameters with three classes
            and two regions, 6.9 M without the branch), 16 every day (3.5 M and 1.8 M).
        dropout: Rate after the convolutions of the last two shared down blocks.
        context: Channels that each of three depths gives to the aggregation.

    Example:
        >>> import torch
        >>> KiNet(channels=5, regions=2, width=4)(torch.zeros(2, 3, 75, 40)).shape
        torch.Size([2, 5, 75, 40])
    """

    stride: ClassVar[int] = 32

    def __init__(
        self,
        *,
        channels: int,
        regions: int = 0,
        width: int = 32,
        dropout: float = 0.5,
        context: int = 4,
    ) -> None:
        for option, value in (("channels", channels), ("context", context)):
            check_positive("kinet", option, value)
        _check_regions(regions, channels)
        super().__init__("kinet", width=width, dropout=dropout)
        w = width
        self.regions = regions
        self.output = NucleusHead(w, context=context, channels=channels - regions)
        if regions:
            self.region_down = DownBlock(8 * w, 8 * w)
            self.region_up1 = UpBlock(8 * w, 8 * w, 8 * w)
            self.region_up2 = UpBlock(8 * w, 8 * w, 8 * w)
            self.region_up3 = UpBlock(8 * w, 4 * w, 4 * w)
            self.region_up4 = UpBlock(4 * w, 2 * w, 2 * w)
            self.region_up5 = UpBlock(2 * w, w, w)
            self.region_output = TwoConvolutions(w, w, regions)
        initialise(self)

    @property
    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
        """MicroNet's ten, 1 `input` to 10 `output`, so that a count freezes the same in both.

        The branch's own follow: 11 `region_down`, 12 `region_up1` to 16 `region_up5`, 17
        `region_output`.
        """
        return tuple(self.named_children())

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32 of images `(B, 3, H, W)`: nuclei, then regions."""
        height, width = images.shape[-2:]
        levels = self.padded_levels(images)
        maps: Tensor = self.output(levels)
        if self.regions:
            maps = torch.cat([maps, self._region_maps(levels)], dim=1)
        return maps[..., :height, :width]

    @property
    def receptive_field(self) -> int:
        """Of the branch that sees the most."""
        return widest_view(partial(seen_from, depth=5 if self.regions else 4), self.stride)

    def _region_maps(self, levels: Levels) -> Tensor:
        """`(B, regions, H, W)` float32, from the shared blocks on the way down."""
        x = self.region_up1(self.region_down(levels.deepest), levels.deepest)
        x = self.region_up2(x, levels.eighth)
        x = self.region_up3(x, levels.quarter)
        x = self.region_up4(x, levels.half)
        x = self.region_up5(x, levels.full)
        maps: Tensor = self.region_output(x)
        return maps


def _check_regions(regions: int, channels: int) -> None:
    if not isinstance(regions, int) or isinstance(regions, bool) or regions < 0:
        raise UserError(
            f"The option 'regions' of the network 'kinet' must be a whole number of at least 0, "
            f"but got {regions!r}."
        )
    if regions >= channels:
        raise UserError(
            f"The network 'kinet' is to give {channels} map{'s' * (channels != 1)}, and its "
            f"option 'regions' is {regions}, which leaves none for nuclei; name the regions in "
            f"the codec (kinet) too, or set the network's 'regions' to 0."
        )
