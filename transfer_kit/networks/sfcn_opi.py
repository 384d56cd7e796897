"""SFCN-OPI: sibling branches for detection and classification (Zhou et al. 2017).

"Detection and fine-grained classification of nuclei using sibling FCN with objectness prior
interaction", AAAI 2018; a baseline of papers 000 and 001. The interaction itself, the product of
a nucleus's probability and its class's, is a non-linearity and belongs to the codec.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from transfer_kit.networks.base import Network, register_network
from transfer_kit.networks.blocks import (
    ConvolutionBlock,
    Interval,
    OutputConvolution,
    Upscore,
    before_bilinear,
    before_convolution,
    check_positive,
    cut_to,
    initialise,
    pad_to_multiple,
    widest_view,
)


class ResidualUnit(nn.Module):
    """ReLU(x + f(x)): f is two 3 × 3 convolutions with batch norm (He et al. 2016).

    With stride 2, or where the number of channels changes, x passes a 1 × 1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvolutionBlock(inputs, outputs, stride=stride, activation=nn.ReLU)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """`(B, outputs, H / stride, W / stride)`."""
        mapped: Tensor = self.second(self.first(x))
        return functional.relu(self.shortcut(x) + mapped, inplace=True)


def _residual_group(inputs: int, outputs: int, *, stride: int, depth: int) -> nn.Sequential:
    first = ResidualUnit(inputs, outputs, stride=stride)
    return nn.Sequential(first, *(ResidualUnit(outputs, outputs) for _ in range(depth - 1)))


class DetectionBranch(nn.Module):
    """Scores of two depths, the deeper one doubled onto the other, their sum doubled to full."""

    def __init__(self, half: int, quarter: int, maps: int) -> None:
        super().__init__()
        self.score_half = OutputConvolution(half, maps, kernel=1)
        self.score_quarter = OutputConvolution(quarter, maps, kernel=1)
        self.up_quarter = Upscore(maps)
        self.up_half = Upscore(maps)

    def forward(self, half: Tensor, quarter: Tensor) -> Tensor:
        """`(B, maps, H, W)` of features at a half and a quarter of the size."""
        scores = self.score_half(half) + self.up_quarter(self.score_quarter(quarter))
        full: Tensor = self.up_half(scores)
        return full


class ClassificationBranch(nn.Sequential):
    """Scores of the deepest features, doubled twice."""

    def __init__(self, quarter: int, maps: int) -> None:
        super().__init__(OutputConvolution(quarter, maps, kernel=1), Upscore(maps), Upscore(maps))


@register_network("sfcn_opi")
class SFCNOPI(Network):
    """A residual trunk of three groups, from which detection and classification part.

    Detection reads the second and third group; classification has a fourth group of its own. The
    first `objectness` maps are detection's, all others classification's; with no others there is
    no such branch. Scores are doubled by 4 × 4 instead of 3 × 3 transposed convolutions, which
    would shift them by half a pixel. Images are padded with zeros to multiples of 4.

    Args:
        channels: Output maps.
        width: Filters of the first group: 32 in the paper (6.1 M parameters with both branches),
            16 for a quarter of its cost.
        depth: Residual units in a group; nine in the paper.
        objectness: Maps of the detection branch: one log-odds, or two scores for a softmax.
    """

    stride: ClassVar[int] = 4

    def __init__(
        self, *, channels: int, width: int = 32, depth: int = 9, objectness: int = 1
    ) -> None:
        super().__init__()
        options = {"channels": channels, "width": width, "depth": depth, "objectness": objectness}
        for option, value in options.items():
            check_positive("sfcn_opi", option, value)
        w, classes = width, max(0, channels - objectness)
        self.depth, self.classifies = depth, classes > 0
        self.input = ConvolutionBlock(3, w, activation=nn.ReLU)
        self.group1 = _residual_group(w, w, stride=1, depth=depth)
        self.group2 = _residual_group(w, 2 * w, stride=2, depth=depth)
        self.group3 = _residual_group(2 * w, 4 * w, stride=2, depth=depth)
        self.detection = DetectionBranch(2 * w, 4 * w, channels - classes)
        if self.classifies:
            self.group4 = _residual_group(4 * w, 4 * w, stride=1, depth=depth)
            self.classification = ClassificationBranch(4 * w, classes)
        initialise(self)

    @property
    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
        """The trunk, the detection branch, then the classification branch if there is one."""
        return tuple(self.named_children())

    @property
    def receptive_field(self) -> int:
        """Of the branch that sees the most."""
        return widest_view(self._seen_from, self.stride)

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32: detection's, then classification's."""
        half = self.group2(self.group1(self.input(pad_to_multiple(images, self.stride))))
        quarter = self.group3(half)
        maps: Tensor = self.detection(half, quarter)
        if self.classifies:
            maps = torch.cat([maps, self.classification(self.group4(quarter))], dim=1)
        return cut_to(maps, images)

    def _seen_from(self, position: int) -> Interval:
        """First and last input pixel along one axis that an output pixel sees."""
        seen = before_bilinear(before_bilinear((position, position)))
        group = 2 * self.depth
        if self.classifies:
            seen = _before_convolutions(seen, group)
        for _ in ("group3", "group2"):
            seen = before_convolution(_before_convolutions(seen, group - 1), stride=2)
        return _before_convolutions(seen, group + 1)


def _before_convolutions(interval: Interval, count: int) -> Interval:
    for _ in range(count):
        interval = before_convolution(interval)
    return interval
