"""VOCA's residual encoder-decoder: Xie et al. 2019 (paper 000, §3.2 and Fig. 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from transfer_kit.networks.base import Network, register_network
from transfer_kit.networks.blocks import (
    Interval,
    OutputConvolution,
    before_convolution,
    check_positive,
    initialise,
    widest_view,
)

Layer = Callable[[int, int], nn.Module]


def same_convolution(inputs: int, outputs: int) -> nn.Module:
    """A 3 × 3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def halving_convolution(inputs: int, outputs: int) -> nn.Module:
    """A 3 × 3 convolution from 2 n + 1 pixels to n."""
    return nn.Conv2d(inputs, outputs, 3, stride=2, bias=False)


def doubling_convolution(inputs: int, outputs: int) -> nn.Module:
    """A 3 × 3 transposed convolution from n pixels to 2 n + 1."""
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, bias=False)


class ResidualUnit(nn.Module):
    """ReLU(f(x) + shortcut): f is `layer` and a 3 × 3 convolution, each with batch norm.

    The shortcut of a layer that changes size or filters is a layer of the same kind.
    """

    def __init__(self, inputs: int, outputs: int, layer: Layer) -> None:
        super().__init__()
        self.mapping = nn.Sequential(
            layer(inputs, outputs),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            same_convolution(outputs, outputs),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if layer is not same_convolution:
            self.shortcut = nn.Sequential(layer(inputs, outputs), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the size that `layer` gives."""
        added: Tensor = self.mapping(x) + self.shortcut(x)
        return functional.relu(added, inplace=True)


class ResidualBlock(nn.Sequential):
    """A residual unit that halves or doubles the size, and others that keep it."""

    def __init__(self, inputs: int, outputs: int, layer: Layer, *, units: int) -> None:
        kept = (ResidualUnit(outputs, outputs, same_convolution) for _ in range(units - 1))
        super().__init__(ResidualUnit(inputs, outputs, layer), *kept)


@register_network("voca")
class Voca(Network):
    """Residual encoder-decoder: four blocks down, four up, 1 × 1 heads.

    Strided 3 × 3 convolutions without padding halve 127 pixels, the paper's input, to 63, 31, 15
    and 7, and transposed ones give them back exactly. Other sizes are padded with zeros, below
    and to the right, to the next 16 n + 15, and the maps cropped: 127 is faster than 128. Filters
    double with each block down, halve with each up, but for the first, and end as many as they
    began. The three heads are one convolution, as they share no weight. Where the paper is silent
    (filters, units in a block, the activation) this is ResNet-18, whose residual layers it
    takes; its text tells of no skips from encoder to decoder. Fastest on CPU in channels-last.

    Args:
        channels: Output maps.
        width: Filters of the first block: 64 (29.7 M parameters), or 32 for the small size,
            voca-s, at a quarter of the cost (7.4 M; 4.3 M with one unit).
        units: Residual units in each block; 1 takes half the time of 2.

    Example:
        >>> import torch
        >>> Voca(channels=4, width=4)(torch.zeros(2, 3, 75, 40)).shape
        torch.Size([2, 4, 75, 40])
    """

    stride: ClassVar[int] = 16

    def __init__(self, *, channels: int, width: int = 64, units: int = 2) -> None:
        super().__init__()
        for option, value in (("channels", channels), ("width", width), ("units", units)):
            check_positive("voca", option, value)
        self.units = units
        w, down, up = width, halving_convolution, doubling_convolution
        self.down1 = ResidualBlock(3, w, down, units=units)
        self.down2 = ResidualBlock(w, 2 * w, down, units=units)
        self.down3 = ResidualBlock(2 * w, 4 * w, down, units=units)
        self.down4 = ResidualBlock(4 * w, 8 * w, down, units=units)
        self.up1 = ResidualBlock(8 * w, 8 * w, up, units=units)
        self.up2 = ResidualBlock(8 * w, 4 * w, up, units=units)
        self.up3 = ResidualBlock(4 * w, 2 * w, up, units=units)
        self.up4 = ResidualBlock(2 * w, w, up, units=units)
        self.heads = OutputConvolution(w, channels, kernel=1)
        initialise(self)
        _begin_as_bilinear(self)

    @property
    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
        """Nine, 1 `down1` to 9 `heads`."""
        return tuple(self.named_children())

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32 of images `(B, 3, H, W)`."""
        below, right = (_missing(length) for length in images.shape[-2:])
        x = functional.pad(images, (0, right, 0, below))
        for _, block in self.blocks[:-1]:
            x = block(x)
        # Cropped by padding, as a slice would tie an exported program to sizes.
        maps: Tensor = self.heads(functional.pad(x, (0, -right, 0, -below)))
        return maps

    @property
    def receptive_field(self) -> int:
        """331 pixels; 151 with one unit a block."""
        return widest_view(self._seen_from, self.stride)

    def _seen_from(self, position: int) -> Interval:
        """First and last input pixel along one axis on the way to an output pixel."""
        seen = position, position
        for before_layer in 4 * (_before_doubling,) + 4 * (_before_halving,):
            for _ in range(2 * self.units - 1):
                seen = before_convolution(seen)
            seen = before_layer(seen)
        return seen


def _missing(length: int) -> int:
    """Pixels from `length` to the next 16 n + 15, n at least 1, which halves four times to n."""
    deepest = length // 16 if length >= 16 else 1
    return 16 * deepest + 15 - length


def _before_halving(interval: Interval) -> Interval:
    """First and last input pixel that a range of a strided convolution's output depends on."""
    first, last = interval
    return 2 * first, 2 * last + 2


def _before_doubling(interval: Interval) -> Interval:
    """The same for a transposed convolution: input j adds to outputs 2 j to 2 j + 2."""
    first, last = interval
    return (first - 1) // 2, last // 2


def _begin_as_bilinear(network: nn.Module) -> None:
    """Make each transposed convolution begin as bilinear upsampling of a random projection.

    `initialise` makes it alike at all nine positions, which overlap in every other pixel.
    """
    along = torch.tensor([0.5, 1.0, 0.5])
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.weight.data *= along[:, None] * along
