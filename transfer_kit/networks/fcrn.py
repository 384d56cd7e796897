"""FCRN-A and FCRN-B: the fully convolutional regression networks of Xie, Noble and Zisserman.

"Microscopy cell counting and detection with fully convolutional regression networks", 2015 and
2018; baselines of papers 001 and 002. Batch norm follows each convolution as in the authors'
released code, of which the papers' figures know nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from transfer_kit.networks.base import Network, register_network
from transfer_kit.networks.blocks import (
    ConvolutionBlock,
    Interval,
    OutputConvolution,
    before_convolution,
    before_pooling,
    before_transposed,
    check_positive,
    cut_to,
    initialise,
    pad_to_multiple,
    widest_view,
)


def _convolution(inputs: int, outputs: int, *, kernel: int = 3) -> ConvolutionBlock:
    return ConvolutionBlock(inputs, outputs, kernel=kernel, activation=nn.ReLU)


def _pooled(inputs: int, outputs: int, *, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.MaxPool2d(2), _convolution(inputs, outputs, kernel=kernel))


def _upsampled(inputs: int, outputs: int, *, kernel: int = 3) -> nn.Sequential:
    up = nn.Upsample(scale_factor=2, mode="nearest")
    return nn.Sequential(up, _convolution(inputs, outputs, kernel=kernel))


class FCRN(Network):
    """A chain of blocks down and up again, without skips."""

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32 of images `(B, 3, H, W)`."""
        x = pad_to_multiple(images, self.stride)
        for _, block in self.blocks:
            x = block(x)
        return cut_to(x, images)

    @property
    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
        """The blocks from input to output."""
        return tuple(self.named_children())

    @property
    def receptive_field(self) -> int:
        """From the chain's kernels."""
        return widest_view(self._seen_from, self.stride)

    def _seen_from(self, position: int) -> Interval:
        seen = position, position
        for layer in reversed(_layers(self.blocks)):
            if isinstance(layer, nn.Conv2d):
                seen = before_convolution(seen, kernel=layer.kernel_size[0])
            elif isinstance(layer, nn.MaxPool2d):
                seen = before_pooling(seen)
            elif isinstance(layer, nn.Upsample):
                seen = before_transposed(seen)
        return seen


def _layers(blocks: Sequence[tuple[str, nn.Module]]) -> list[nn.Module]:
    """Every layer, in the order in which the chain runs through them."""
    return [layer for _, block in blocks for layer in block.modules()]


@register_network("fcrn_a")
class FCRNA(FCRN):
    """FCRN-A: four 3 × 3 convolutions with max-pooling between them, three more back up.

    Filters 32, 64, 128, 512, 128, 64, 32, then a 1 × 1 output.

    Args:
        channels: Output maps.
        width: Filters of the first convolution: 32 in the paper (1.4 M parameters), 16 for a
            quarter of its cost.
    """

    stride: ClassVar[int] = 8

    def __init__(self, *, channels: int, width: int = 32) -> None:
        super().__init__()
        for option, value in (("channels", channels), ("width", width)):
            check_positive("fcrn_a", option, value)
        w = width
        self.input = _convolution(3, w)
        self.down1 = _pooled(w, 2 * w)
        self.down2 = _pooled(2 * w, 4 * w)
        self.down3 = _pooled(4 * w, 16 * w)
        self.up1 = _upsampled(16 * w, 4 * w)
        self.up2 = _upsampled(4 * w, 2 * w)
        self.up3 = _upsampled(2 * w, w)
        self.output = OutputConvolution(w, channels, kernel=1)
        initialise(self)


@register_network("fcrn_b")
class FCRNB(FCRN):
    """FCRN-B: max-pooling after each second convolution alone, and 5 × 5 kernels when deep.

    Filters 32, 64, 128, 256 of 3 × 3, then 256 and 256 of 5 × 5 and an output of 5 × 5.

    Args:
        channels: Output maps.
        width: Filters of the first convolution: 32 in the paper (3.7 M parameters), 16 for a
            quarter of its cost.
    """

    stride: ClassVar[int] = 4

    def __init__(self, *, channels: int, width: int = 32) -> None:
        super().__init__()
        for option, value in (("channels", channels), ("width", width)):
            check_positive("fcrn_b", option, value)
        w = width
        self.input = nn.Sequential(_convolution(3, w), _convolution(w, 2 * w))
        self.down1 = nn.Sequential(_pooled(2 * w, 4 * w), _convolution(4 * w, 8 * w))
        self.down2 = _pooled(8 * w, 8 * w, kernel=5)
        self.up1 = _upsampled(8 * w, 8 * w, kernel=5)
        up = nn.Upsample(scale_factor=2, mode="nearest")
        self.output = nn.Sequential(up, OutputConvolution(8 * w, channels, kernel=5))
        initialise(self)
