"""Mask R-CNN (He et al. 2017) on torchvision's layers, its nuclei painted into maps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import FeaturePyramidNetwork

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.networks.base import Network, register_network
from transfer_kit.networks.blocks import check_positive
from transfer_kit.networks.painting import annotated, paint
from transfer_kit.networks.proposals import Features, Proposals, Proposed
from transfer_kit.networks.regions import RegionHeads

BACKBONES: dict[str, tuple[Any, tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}
"""Kind and number of the residual units of each stage."""

SMALLEST_PX = 64
"""Images are padded to this, so that the coarsest maps have more than one pixel to normalise."""


@register_network("mask_rcnn")
class MaskRCNN(Network):
    """Mask R-CNN: proposals on a feature pyramid, then class, box and mask of each.

    Its maps are those of the codec `boxes`, painted with what it found: in each mask the logit of
    the nucleus's score and the vector to the centre of its box, the best score on top. They have
    no gradient; it learns by `loss`, and so goes with that codec alone.

    Of torchvision's Mask R-CNN are the layers, how boxes are coded, matched and drawn, and the
    losses. Different are: images come standardised and are not resized, but padded with zeros to
    multiples of 32; anchors have the size of nuclei, without the pyramid's fifth level; an image
    may have as many proposals and nuclei as its area allows rather than 1000 and 100; a nucleus
    has one class; and batch norms learn, unless they are frozen.

    A pixel's maps depend in principle on the whole image: the coarsest features see more than a
    thousand pixels, and each suppressed box may have suppressed another. In practice they depend
    on what lies near, so tiles read with `halo_px` around them give the maps of the whole image
    up to small differences, if nuclei are smaller than that.

    `load_pretrained` takes `imagenet` (the backbone), `coco` (torchvision's Mask R-CNN with a
    ResNet-50; all but the class layers), and torchvision's files of either.

    Args:
        channels: Two more than classes of nuclei.
        backbone: `resnet18`, `resnet34`, `resnet50` or `resnet101`.
        width: Filters of the backbone's first convolution; 64 in published weights.
        features: Channels of the pyramid and of the masks' convolutions; the boxes' two layers
            have four times as many units.
        anchor_px: Side of the smallest anchors; there are also those of 2, 4 and 8 times it.
        proposal_overlap: Of two proposals whose intersection over union is more, the better stays.
        halo_px: Context on each side that a tile is read with.

    Raises:
        UserError: an option is not of this kind.

    Example:
        >>> import torch
        >>> network = MaskRCNN(channels=3, backbone="resnet18", width=8, features=8).eval()
        >>> network(torch.zeros(2, 3, 75, 40)).shape
        torch.Size([2, 3, 75, 40])
    """

    stride: ClassVar[int] = 32
    needed_codec: ClassVar[str] = "boxes"
    pretrained_blocks: ClassVar[tuple[str, ...]] = ("stem", "stage1", "stage2", "stage3", "stage4")
    """What a published file must fill: the backbone."""
    published_prefixes: ClassVar[tuple[str, ...]] = ("backbone.",)
    """What in a published file is part of the names, not a wrapper's."""

    def __init__(
        self,
        *,
        channels: int,
        backbone: str = "resnet50",
        width: int = 64,
        features: int = 256,
        anchor_px: int = 8,
        proposal_overlap: float = 0.7,
        halo_px: int = 128,
    ) -> None:
        super().__init__()
        for option, value in (
            *(("channels", channels), ("width", width), ("features", features)),
            *(("anchor_px", anchor_px), ("halo_px", halo_px)),
        ):
            check_positive("mask_rcnn", option, value)
        _check(channels, backbone, proposal_overlap)
        self.backbone, self.classes, self.halo_px = backbone, channels - 2, halo_px
        unit, depths = BACKBONES[backbone]
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        filters = [width, *(width * 2**stage * unit.expansion for stage in range(4))]
        self.stage1, self.stage2, self.stage3, self.stage4 = (
            _stage(unit, filters[stage], width * 2**stage, depth, stride=1 if stage == 0 else 2)
            for stage, depth in enumerate(depths)
        )
        self.pyramid = FeaturePyramidNetwork(filters[1:], features)
        self.proposals = Proposals(features, anchor_px=anchor_px, overlap=proposal_overlap)
        self.heads = RegionHeads(features, hidden=4 * features, classes=self.classes)
        for name in self.pretrained_blocks:
            for module in self.get_submodule(name).modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
        """`stem`, `stage1` to `stage4`, `pyramid`, `proposals` and `heads`."""
        return tuple(self.named_children())

    @property
    def receptive_field(self) -> int:
        """What `halo_px` says; see the class."""
        return 2 * self.halo_px + 1

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32 of images `(B, 3, H, W)`, without a gradient."""
        size = (images.shape[-2], images.shape[-1])
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            features, proposed = self._first_stage(images)
            found = self.proposals.boxes(proposed, size, learning=False)
            return torch.stack(
                [self._painted(features, number, boxes, size) for number, boxes in enumerate(found)]
            )

    def loss(self, images: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The sum of the losses of both stages, one an image `(B,)`, in float32.

        Args:
            images: `(B, 3, H, W)`.
            target: `(B, classes + 3, H, W)` by `BoxesCodec.encode`.
            weight: `(B, 1, H, W)`; where it is 0 nothing is learned.
        """
        size = (images.shape[-2], images.shape[-1])
        features, proposed = self._first_stage(images)
        truths = [annotated(*image) for image in zip(target.float(), weight, strict=True)]
        with torch.autocast(images.device.type, enabled=False):
            boxes = self.proposals.boxes(proposed, size, learning=True)
            first = self.proposals.losses(proposed, truths)
            return first + self.heads.losses(features, boxes, truths)

    def _first_stage(self, images: Tensor) -> tuple[Features, Proposed]:
        """The pyramid and what it proposes, in the type of the weights also under autocast."""
        rows, columns = (
            max(SMALLEST_PX, -(-length // self.stride) * self.stride) - length
            for length in images.shape[-2:]
        )
        x = self.stem(nn.functional.pad(images, (0, columns, 0, rows)))
        found = {}
        for level, stage in enumerate((self.stage1, self.stage2, self.stage3, self.stage4)):
            x = stage(x)
            found[str(level)] = x
        pyramid = self.pyramid(found)
        with torch.autocast(images.device.type, enabled=False):
            kind = self.stem[0].weight.dtype
            features = {name: level.to(kind).contiguous() for name, level in pyramid.items()}
            return features, self.proposals(features)

    def _painted(
        self, features: Features, number: int, proposals: Tensor, size: tuple[int, int]
    ) -> Tensor:
        own = {name: level[number : number + 1] for name, level in features.items()}
        return paint(self.heads(own, proposals, size), size, classes=self.classes)

    def published_weights(self, name: str) -> dict[str, Tensor]:
        """The weights that are published as `name`, downloaded by torchvision.

        `imagenet` is the backbone's; `coco` is there for a ResNet-50.
        """
        from torchvision.models import get_model_weights
        from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

        if name == "coco" and self.backbone == "resnet50":
            published = MaskRCNN_ResNet50_FPN_Weights.COCO_V1
        elif name == "imagenet":
            published = get_model_weights(self.backbone)["IMAGENET1K_V1"]
        else:
            raise KeyError(name)
        weights: dict[str, Tensor] = published.get_state_dict(check_hash=True)
        return weights

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of torchvision's Mask R-CNN, or of its ResNet, under this network's names."""
        named = {_own_name(name): tensor for name, tensor in tensors.items()}
        return {name: tensor for name, tensor in named.items() if name}


def _own_name(name: str) -> str:
    """The name here of a tensor of torchvision's Mask R-CNN or ResNet; empty of its classifier."""
    if name.startswith("fc."):
        return ""
    for pattern, own in _TORCHVISION.items():
        name = re.sub(pattern, own, name)
    return name


_TORCHVISION = {
    r"^backbone\.body\.": "",
    r"^conv1\.": "stem.0.",
    r"^bn1\.": "stem.1.",
    r"^layer(\d)\.": r"stage\1.",
    r"^backbone\.fpn\.": "pyramid.",
    r"^rpn\.": "proposals.",
    r"^roi_heads\.": "heads.",
    # What torchvision's layers themselves rename when they load files of their first versions.
    r"^(pyramid\.\w+_blocks\.\d)\.(weight|bias)$": r"\1.0.\2",
    r"^(proposals\.head\.conv)\.(weight|bias)$": r"\1.0.0.\2",
    **{rf"mask_head\.mask_fcn{n + 1}\.": f"mask_head.{n}.0." for n in range(4)},
}
"""Beginnings and shapes of torchvision's names, one after the other, and what they are here."""


def _check(channels: int, backbone: str, proposal_overlap: float) -> None:
    if channels < 3:
        raise UserError(
            "The option 'channels' of the network 'mask_rcnn' must be at least 3, a score and two "
            f"of the vector as the codec 'boxes' has them, but got {channels}."
        )
    if backbone not in BACKBONES:
        raise UserError(
            f"The option 'backbone' of the network 'mask_rcnn' cannot be {backbone!r}. "
            f"{nearest_hint(str(backbone), BACKBONES)}"
        )
    number = isinstance(proposal_overlap, (int, float)) and not isinstance(proposal_overlap, bool)
    if not number or not 0 < proposal_overlap <= 1:
        raise UserError(
            "The option 'proposal_overlap' of the network 'mask_rcnn' must be a number above 0, "
            f"up to 1, but got {proposal_overlap!r}."
        )


def _stage(unit: Any, inputs: int, filters: int, depth: int, *, stride: int) -> nn.Sequential:
    """Residual units of torchvision, the first of which changes size and channels."""
    outputs = filters * unit.expansion
    shortcut = None
    if stride > 1 or inputs != outputs:
        shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
        )
    first = unit(inputs, filters, stride, shortcut)
    return nn.Sequential(first, *(unit(outputs, filters) for _ in range(depth - 1)))
