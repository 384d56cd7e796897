"""The way from image to maps that U-Net, FRCN, MicroNet and KiNet share."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from transfer_kit.networks.base import Network
from transfer_kit.networks.blocks import cut_to, pad_to_multiple


class Levels(NamedTuple):
    """Maps at each depth on the way down, and the last on the way up, of the full size again."""

    full: Tensor
    half: Tensor
    quarter: Tensor
    eighth: Tensor
    deepest: Tensor
    last: Tensor


class EncoderDecoder(Network):
    """Ten blocks: an input, four down, four up that each join the map of their size, an output.

    A network makes the blocks in this order under these names; more may follow them.
    """

    stride: ClassVar[int] = 16

    input: nn.Module
    down1: nn.Module
    down2: nn.Module
    down3: nn.Module
    down4: nn.Module
    up1: nn.Module
    up2: nn.Module
    up3: nn.Module
    up4: nn.Module
    output: nn.Module

    @property
    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
        """The ten blocks, 1 `input` to 10 `output`, and what follows."""
        return tuple(self.named_children())

    def levels(self, images: Tensor) -> Levels:
        """All that an output may read of images `(B, 3, H, W)`."""
        full = self.input(images)
        half = self.down1(full)
        quarter = self.down2(half)
        eighth = self.down3(quarter)
        deepest = self.down4(eighth)
        x = self.up1(deepest, eighth)
        x = self.up2(x, quarter)
        x = self.up3(x, half)
        x = self.up4(x, full)
        return Levels(full, half, quarter, eighth, deepest, x)

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32 of images `(B, 3, H, W)`.

        Images are padded with zeros to multiples of the stride and the maps cropped.
        """
        levels = self.levels(pad_to_multiple(images, self.stride))
        maps: Tensor = self.output(levels.last)
        return cut_to(maps, images)
