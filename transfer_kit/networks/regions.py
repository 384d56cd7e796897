"""The second stage of Mask R-CNN: class, box and mask of each proposal, on torchvision's layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import (
    MultiScaleRoIAlign,
    clip_boxes_to_image,
    nms,
    remove_small_boxes,
    roi_align,
)

from transfer_kit.networks.painting import Annotated, Detections
from transfer_kit.networks.proposals import LEVELS, Features, Size, matched, sampled

LOWEST_SCORE = 0.05
"""Nuclei below this are left."""

OVERLAP = 0.5
"""Of two nuclei whose boxes overlap more, as intersection over union, the better one stays."""

POSITIVE_SHARE = 0.25
"""Of the regions that the loss looks at, at most, are of nuclei."""

FEWEST, PIXELS_EACH = 100, 100
"""The nuclei of the smallest images, and the pixels that a larger one has for each."""

MOST_AT_ONCE = 512
"""Regions whose features are held at once."""


class Regions(NamedTuple):
    """What the second stage learns from in one image.

    Attributes:
        boxes: `(N, 4)`.
        kinds: `(N,)` class of the nucleus in it, 0 background.
        owners: `(P,)` its position among the annotated ones, of the regions with a class.
    """

    boxes: Tensor
    kinds: Tensor
    owners: Tensor


class RegionHeads(nn.Module):
    """Class, box and mask of each proposal.

    Args:
        features: Channels of the pyramid and of the masks' convolutions.
        hidden: Units of the boxes' two layers.
        classes: Of nuclei.
    """

    def __init__(self, features: int, *, hidden: int, classes: int) -> None:
        super().__init__()
        levels = [str(level) for level in range(LEVELS)]
        self.box_pool = MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2)
        self.box_head = TwoMLPHead(features * 7 * 7, hidden)
        self.box_predictor = FastRCNNPredictor(hidden, classes + 1)
        self.mask_pool = MultiScaleRoIAlign(levels, output_size=14, sampling_ratio=2)
        self.mask_head = MaskRCNNHeads(features, (features,) * 4, 1)
        self.mask_predictor = MaskRCNNPredictor(features, features, classes + 1)
        self.coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
        self.matcher = Matcher(0.5, 0.5, allow_low_quality_matches=False)

    def forward(self, features: Features, proposals: Tensor, size: Size) -> Detections:
        """The nuclei of one image, best first; one class each.

        Args:
            features: Its pyramid, `(1, C, h, w)` by level.
            proposals: `(N, 4)`.
            size: Its height and width without padding.
        """
        found = [
            self._classified(features, [part]) for part in torch.split(proposals, MOST_AT_ONCE)
        ]
        logits, codes = (torch.cat(each) for each in zip(*found, strict=True))
        scores = logits.softmax(dim=1)[:, 1:]
        rows, kinds = (scores > LOWEST_SCORE).nonzero(as_tuple=True)
        scores = scores[rows, kinds]
        boxes = self.coder.decode_single(codes[rows, kinds + 1], proposals[rows])
        boxes = clip_boxes_to_image(boxes, size)
        large = remove_small_boxes(boxes, min_size=1e-2)
        boxes, scores, kinds = boxes[large], scores[large], kinds[large]
        stay = nms(boxes, scores, OVERLAP)[: max(FEWEST, size[0] * size[1] // PIXELS_EACH)]
        boxes, scores, kinds = boxes[stay], scores[stay], kinds[stay]
        masks = [
            self._masks(features, [part], of + 1)
            for part, of in zip(
                *(torch.split(each, MOST_AT_ONCE) for each in (boxes, kinds)), strict=True
            )
        ]
        return Detections(boxes, scores, kinds, torch.cat(masks).sigmoid())

    def losses(
        self, features: Features, proposals: Sequence[Tensor], truths: Sequence[Annotated]
    ) -> Tensor:
        """Cross-entropy of classes and of masks, and smooth L1 of boxes, `(B,)`.

        Proposals whose centre lies outside the labelled region are not looked at, nor is what of
        a mask lies there.
        """
        regions = [self._regions(*image) for image in zip(proposals, truths, strict=True)]
        counts = [len(each.boxes) for each in regions]
        logits, codes = self._classified(features, [each.boxes for each in regions])
        positive = [each.boxes[each.kinds > 0] for each in regions]
        kinds = torch.cat([each.kinds[each.kinds > 0] for each in regions])
        masks = self._masks(features, positive, kinds)
        images = zip(
            torch.split(logits, counts),
            torch.split(codes, counts),
            torch.split(masks, [len(each) for each in positive]),
            regions,
            truths,
            strict=True,
        )
        return torch.stack([self._loss(*image) for image in images])

    def _loss(
        self, logits: Tensor, codes: Tensor, masks: Tensor, regions: Regions, truth: Annotated
    ) -> Tensor:
        boxes, kinds, owners = regions
        entropy = functional.cross_entropy(logits, kinds, reduction="sum")
        positive = kinds > 0
        wanted = self.coder.encode_single(truth.boxes[owners], boxes[positive])
        error = functional.smooth_l1_loss(
            codes[positive, kinds[positive]], wanted, beta=1 / 9, reduction="sum"
        )
        drawn, known = _drawn_masks(truth, boxes[positive], owners, side=masks.shape[-1])
        entropies = functional.binary_cross_entropy_with_logits(masks, drawn, reduction="none")
        of_masks = (entropies * known).sum() / known.sum().clamp_min(1)
        return (entropy + error) / max(len(boxes), 1) + of_masks

    def _regions(self, proposals: Tensor, truth: Annotated) -> Regions:
        """Some of an image's proposals and annotated boxes, drawn at random."""
        boxes = torch.cat([proposals, truth.boxes.to(proposals.dtype)])
        matches = matched(self.matcher, boxes, truth)
        kinds = torch.zeros_like(matches)
        kinds[matches >= 0] = truth.kinds[matches[matches >= 0]]
        kinds[~truth.knows(boxes)] = -1
        chosen = sampled(kinds, POSITIVE_SHARE)
        return Regions(boxes[chosen], kinds[chosen], matches[chosen][kinds[chosen] > 0])

    def _classified(self, features: Features, boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits `(N, classes + 1)` and codes `(N, classes + 1, 4)` of boxes, image by image."""
        pooled = self.box_pool(features, boxes, _sizes(features))
        logits, codes = self.box_predictor(self.box_head(pooled))
        return logits, codes.view(*logits.shape, 4)

    def _masks(self, features: Features, boxes: list[Tensor], kinds: Tensor) -> Tensor:
        """Logits `(N, M, M)` of the masks of boxes, image by image, and their classes from 1 on."""
        pooled = self.mask_pool(features, boxes, _sizes(features))
        masks: Tensor = self.mask_predictor(self.mask_head(pooled))
        return masks[torch.arange(len(masks), device=masks.device), kinds]


def _sizes(features: Features) -> list[Size]:
    """Height and width of each padded image."""
    finest = features["0"]
    return [(4 * finest.shape[-2], 4 * finest.shape[-1])] * len(finest)


def _drawn_masks(
    truth: Annotated, boxes: Tensor, owners: Tensor, *, side: int
) -> tuple[Tensor, Tensor]:
    """How much of each cell of boxes `(N, side, side)` is nucleus, and whether it is known."""
    masks = truth.instances == truth.numbers[owners][:, None, None]
    places = torch.arange(len(boxes), device=boxes.device).to(boxes)[:, None]
    rois = torch.cat([places, boxes], dim=1)
    drawn = roi_align(masks[:, None].to(boxes), rois, (side, side))[:, 0]
    rois = torch.cat([torch.zeros_like(places), boxes], dim=1)
    known = roi_align(truth.known[None, None].to(boxes), rois, (side, side))[:, 0]
    return drawn, (known >= 0.5).to(boxes)
