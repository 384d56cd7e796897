"""FCN-32s, FCN-16s and FCN-8s on VGG-16 (Long et al. 2015), SegMitos' networks (paper 004)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from transfer_kit.networks.base import Network, register_network
from transfer_kit.networks.blocks import (
    Interval,
    OutputConvolution,
    Upscore,
    before_bilinear,
    before_convolution,
    before_pooling,
    check_positive,
    check_rate,
    cut_to,
    initialise,
    pad_to_multiple,
    widest_view,
)

VGG16 = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Of each block of convolutions: filters as a multiple of the width, and how many."""

CAFFE_SCALE = 255 * 0.226
"""Grey values of 0 to 255 for one standard deviation of ImageNet's channels."""


def _convolutions(inputs: int, outputs: int, count: int) -> nn.Sequential:
    """`count` 3 × 3 convolutions with ReLU, then max-pooling by two."""
    layers: list[nn.Module] = []
    for position in range(count):
        layers += [nn.Conv2d(outputs if position else inputs, outputs, 3, padding=1), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


class Score(nn.Module):
    """Scores of the deepest features, joined with those of finer ones, and brought to full size.

    Each doubling starts as bilinear interpolation and each finer score as zero, so that a network
    which starts from a coarser one starts with its maps. The last enlargement is bilinear and
    does not learn.
    """

    def __init__(self, deepest: int, finer: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.deepest = OutputConvolution(deepest, channels, kernel=1)
        self.finer = nn.ModuleList(OutputConvolution(n, channels, kernel=1) for n in finer)
        self.doubling = nn.ModuleList(Upscore(channels) for _ in finer)

    def forward(self, deepest: Tensor, finer: list[Tensor]) -> Tensor:
        """`(B, channels, H, W)` of features at 1/32 of the size, and at 1/16 and 1/8."""
        scores: Tensor = self.deepest(deepest)
        for features, score, double in zip(finer, self.finer, self.doubling, strict=True):
            scores = double(scores) + score(features)
        factor = 32 // 2 ** len(self.finer)
        return functional.interpolate(
            scores, scale_factor=factor, mode="bilinear", align_corners=False
        )


class FCN(Network):
    """VGG-16 as a fully convolutional network; its scores join those of `finer` pooled layers.

    The paper pads images by 100 pixels and cuts its scores; here images are padded with zeros to
    multiples of 32 and `fc6` keeps the size. `load_pretrained` takes VGG-16's ImageNet weights
    (`imagenet`, or torchvision's file), a PASCAL VOC FCN that was converted from Caffe, or a
    detector of this kit: `fcn16s` from an `fcn32s`, `fcn8s` from an `fcn16s`.

    Args:
        channels: Output maps.
        width: Filters of the first convolution; 64 in VGG-16.
        hidden: Filters of `fc6` and `fc7`; 4096 in VGG-16 and by default 64 times the width.
        dropout: Rate after `fc6` and `fc7`.
    """

    stride: ClassVar[int] = 32
    finer: ClassVar[int]
    pretrained_blocks: ClassVar[tuple[str, ...]] = ("conv1", "conv2", "conv3", "conv4", "conv5")
    """What a published file must fill; VGG-16 is also published without its last layers."""

    def __init__(
        self, *, channels: int, width: int = 64, hidden: int | None = None, dropout: float = 0.5
    ) -> None:
        super().__init__()
        name, hidden = type(self).__name__.lower(), 64 * width if hidden is None else hidden
        for option, value in (("channels", channels), ("width", width), ("hidden", hidden)):
            check_positive(name, option, value)
        check_rate(name, "dropout", dropout)
        filters = [3, *(factor * width for factor, _ in VGG16)]
        for position, (_, count) in enumerate(VGG16):
            block = _convolutions(filters[position], filters[position + 1], count)
            self.add_module(f"conv{position + 1}", block)
        self.fc6 = nn.Sequential(
            nn.Conv2d(8 * width, hidden, 7, padding=3), nn.ReLU(True), nn.Dropout(dropout)
        )
        self.fc7 = nn.Sequential(nn.Conv2d(hidden, hidden, 1), nn.ReLU(True), nn.Dropout(dropout))
        self.score = Score(hidden, (8 * width, 4 * width)[: self.finer], channels)
        initialise(self)
        for parameter in self.score.finer.parameters():
            nn.init.zeros_(parameter)

    @property
    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
        """`conv1` to `conv5`, `fc6`, `fc7` and `score`."""
        return tuple(self.named_children())

    @property
    def receptive_field(self) -> int:
        """The way through `fc6` is the widest."""
        return widest_view(self._seen_from, self.stride)

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32 of images `(B, 3, H, W)`."""
        x = pad_to_multiple(images, self.stride)
        pooled = []
        for name in self.pretrained_blocks:
            x = self.get_submodule(name)(x)
            pooled.append(x)
        maps: Tensor = self.score(self.fc7(self.fc6(x)), [pooled[3], pooled[2]][: self.finer])
        return cut_to(maps, images)

    def _seen_from(self, position: int) -> Interval:
        """First and last input pixel along one axis on the deepest way to an output pixel."""
        seen = before_bilinear((position, position), stride=32 // 2**self.finer)
        for _ in range(self.finer):
            seen = before_bilinear(seen)
        seen = before_convolution(seen, kernel=7)
        for _, count in reversed(VGG16):
            seen = before_pooling(seen)
            for _ in range(count):
                seen = before_convolution(seen)
        return seen

    def published_weights(self, name: str) -> dict[str, Tensor]:
        """The weights that are published as `name`: `imagenet`, downloaded by torchvision."""
        from torchvision.models import VGG16_Weights

        if name != "imagenet":
            raise KeyError(name)
        weights: dict[str, Tensor] = VGG16_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True)
        return weights

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A published file's tensors under this network's names; those of other layers are left.

        Known are torchvision's VGG-16 and FCNs converted from Caffe, which saw BGR of 0 to 255.
        """
        named = {_own_name(name): tensor for name, tensor in tensors.items()}
        found = {name: tensor for name, tensor in named.items() if name}
        if "conv1_1.weight" in tensors:
            found["conv1.0.weight"] = tensors["conv1_1.weight"].flip(1) * CAFFE_SCALE
        first = found.get("fc6.0.weight", torch.empty(0))
        if first.ndim == 2 and first.shape[1] % 49 == 0:
            found["fc6.0.weight"] = first.reshape(len(first), -1, 7, 7)
        last = found.get("fc7.0.weight", torch.empty(0))
        if last.ndim == 2:
            found["fc7.0.weight"] = last[..., None, None]
        return found


def _own_name(name: str) -> str:
    """The name here of a tensor of torchvision's VGG-16 or of a converted FCN; else empty."""
    layer, _, kind = name.rpartition(".")
    if caffe := re.fullmatch(r"conv(\d)_(\d)", layer):
        return f"conv{caffe[1]}.{2 * (int(caffe[2]) - 1)}.{kind}"
    known = _TORCHVISION | {"fc6": "fc6.0", "fc7": "fc7.0"}
    return f"{known[layer]}.{kind}" if layer in known else ""


def _torchvision_layers() -> dict[str, str]:
    """`features.7` is `conv2.2`: torchvision counts convolutions, ReLU and pooling in one."""
    names, place = {"classifier.0": "fc6.0", "classifier.3": "fc7.0"}, 0
    for block, (_, count) in enumerate(VGG16):
        for position in range(count):
            names[f"features.{place + 2 * position}"] = f"conv{block + 1}.{2 * position}"
        place += 2 * count + 1
    return names


_TORCHVISION = _torchvision_layers()


@register_network("fcn32s")
class FCN32s(FCN):
    """FCN-32s: scores at 1/32 of the size, enlarged at once."""

    finer: ClassVar[int] = 0


@register_network("fcn16s")
class FCN16s(FCN):
    """FCN-16s: scores at 1/32 joined with those of the fourth pooled layer."""

    finer: ClassVar[int] = 1


@register_network("fcn8s")
class FCN8s(FCN):
    """FCN-8s: scores at 1/16 joined with those of the third pooled layer."""

    finer: ClassVar[int] = 2
