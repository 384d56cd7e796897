"""The first stage of Mask R-CNN: where nuclei may be (Ren et al. 2015), on torchvision's layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import (
    BalancedPositiveNegativeSampler,
    BoxCoder,
    Matcher,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead, concat_box_prediction_layers
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes

from transfer_kit.networks.painting import Annotated

Size = tuple[int, int]
Features = dict[str, Tensor]

LEVELS = 4
"""Of the pyramid, at strides 4, 8, 16 and 32."""

SHAPES = (0.5, 1.0, 2.0)
"""Height by width of the anchors."""

SAMPLED = 256
"""Anchors, and then regions, of an image that the loss looks at (paper 003, section VI-D)."""

POSITIVE_SHARE = 0.5
"""Of these anchors, at most, are of nuclei."""

LOWEST_OBJECTNESS = 0.05
"""Proposals below this are left, except in training."""

FEWEST, PIXELS_EACH = 1000, 16
"""The proposals of a crop in training, and the pixels that an image has for each otherwise.

With torchvision's one number for all images a tile would keep more than the whole.
"""


class Proposed(NamedTuple):
    """What the first stage says of all anchors of a batch.

    Attributes:
        anchors: `(A, 4)` boxes x1, y1, x2, y2 in pixels.
        levels: `(A,)` of the pyramid.
        objectness: `(B, A)` logits.
        codes: `(B, A, 4)`, from anchor to box in `BoxCoder`'s terms.
    """

    anchors: Tensor
    levels: Tensor
    objectness: Tensor
    codes: Tensor


class Proposals(nn.Module):
    """The region proposal network: whether a nucleus is at each anchor, and its box.

    Args:
        features: Channels of the pyramid.
        anchor_px: Side of the anchors of the finest level; it doubles with each level.
        overlap: Of two proposals that overlap more, as intersection over union, the better stays.
    """

    def __init__(self, features: int, *, anchor_px: int, overlap: float) -> None:
        super().__init__()
        self.head = RPNHead(features, len(SHAPES))
        sizes = tuple((anchor_px * 2**level,) for level in range(LEVELS))
        self.anchors = AnchorGenerator(sizes, (SHAPES,) * LEVELS)
        self.coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)
        self.overlap = overlap

    def forward(self, features: Features) -> Proposed:
        """Of the pyramid of a batch, the finest level at a quarter of the images' size."""
        pyramid = list(features.values())
        objectness, codes = self.head(pyramid)
        batch, _, height, width = pyramid[0].shape
        size = (4 * height, 4 * width)
        (anchors,) = self.anchors(ImageList(pyramid[0].new_empty(1, 0, *size), [size]), pyramid)
        counts = torch.tensor([each[0].numel() for each in objectness])
        levels = torch.arange(LEVELS).repeat_interleave(counts).to(anchors.device)
        scores, codes = concat_box_prediction_layers(objectness, codes)
        return Proposed(anchors, levels, scores.view(batch, -1), codes.view(batch, -1, 4))

    def boxes(self, proposed: Proposed, size: Size, *, learning: bool) -> list[Tensor]:
        """The proposals `(N, 4)` of each image, best first.

        Args:
            proposed: By `forward`.
            size: Height and width of the images without their padding.
            learning: Whether they are to learn from: then doubtful ones too, but not as many.
        """
        most = FEWEST if learning else max(FEWEST, size[0] * size[1] // PIXELS_EACH)
        lowest = 0.0 if learning else LOWEST_OBJECTNESS
        found = []
        for logits, codes in zip(
            proposed.objectness.detach(), proposed.codes.detach(), strict=True
        ):
            scores = logits.sigmoid()
            kept = torch.cat(
                [
                    _best((proposed.levels == level) & (scores >= lowest), scores, most)
                    for level in range(LEVELS)
                ]
            )
            boxes = self.coder.decode_single(codes[kept], proposed.anchors[kept])
            boxes = clip_boxes_to_image(boxes, size)
            large = remove_small_boxes(boxes, min_size=1e-3)
            boxes, kept = boxes[large], kept[large]
            stay = batched_nms(boxes, scores[kept], proposed.levels[kept], self.overlap)
            found.append(boxes[stay[:most]])
        return found

    def losses(self, proposed: Proposed, truths: Sequence[Annotated]) -> Tensor:
        """Cross-entropy of the objectness and smooth L1 of the boxes, `(B,)`.

        Anchors whose centre lies outside the labelled region are not looked at.
        """
        images = zip(proposed.objectness, proposed.codes, truths, strict=True)
        return torch.stack([self._loss(proposed.anchors, *image) for image in images])

    def _loss(self, anchors: Tensor, scores: Tensor, codes: Tensor, truth: Annotated) -> Tensor:
        matches = matched(self.matcher, anchors, truth)
        labels = (matches >= 0).float()
        labels[(matches == Matcher.BETWEEN_THRESHOLDS) | ~truth.knows(anchors)] = -1
        chosen = sampled(labels, POSITIVE_SHARE)
        positive = chosen[labels[chosen] > 0]
        entropy = functional.binary_cross_entropy_with_logits(
            scores[chosen], labels[chosen].to(scores.dtype), reduction="sum"
        )
        wanted = self.coder.encode_single(truth.boxes[matches[positive]], anchors[positive])
        error = functional.smooth_l1_loss(codes[positive], wanted, beta=1 / 9, reduction="sum")
        return (entropy + error) / max(len(chosen), 1)


def matched(matcher: Any, boxes: Tensor, truth: Annotated) -> Tensor:
    """The position of each box's nucleus, or what `Matcher` says where there is none, `(N,)`."""
    if not len(truth.boxes):
        return torch.full_like(boxes[:, 0], Matcher.BELOW_LOW_THRESHOLD, dtype=torch.long)
    matches: Tensor = matcher(box_iou(truth.boxes, boxes))
    return matches


def sampled(labels: Tensor, positive_share: float) -> Tensor:
    """Positions of at most `SAMPLED` labels drawn at random; those below 0 never.

    Args:
        labels: `(N,)`, 0 background.
        positive_share: Of those drawn, at most, have labels above 0.
    """
    (positive,), (negative,) = BalancedPositiveNegativeSampler(SAMPLED, positive_share)([labels])
    chosen: Tensor = (positive | negative).nonzero()[:, 0]
    return chosen


def _best(allowed: Tensor, scores: Tensor, most: int) -> Tensor:
    """Positions of the `most` highest scores of those allowed."""
    members = allowed.nonzero()[:, 0]
    return members[scores[members].topk(min(most, len(members))).indices]
