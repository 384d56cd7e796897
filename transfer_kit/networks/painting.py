"""Boxes with masks painted into dense maps, and annotated ones recovered from painted maps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BACKGROUND = -10.0
"""Logit of a score where no nucleus is painted."""

MOST_AT_ONCE = 256
"""Boxes whose pixels are listed at once, which bounds the memory."""

THINNEST_PX = 2.0
"""Nuclei of which a crop shows less than this in width or height are no boxes to learn from."""


class Detections(NamedTuple):
    """Nuclei found in one image.

    Attributes:
        boxes: `(N, 4)` x1, y1, x2, y2 in pixels, pixel centres at integers.
        scores: `(N,)` in [0, 1].
        kinds: `(N,)` class, from 0 on.
        masks: `(N, M, M)` probabilities over the box.
    """

    boxes: Tensor
    scores: Tensor
    kinds: Tensor
    masks: Tensor


class Annotated(NamedTuple):
    """Nuclei of one crop, and where all of them are known.

    Attributes:
        boxes: `(N, 4)` x1, y1, x2, y2 around the pixels in the crop: a nucleus of one pixel at x
            reaches from x - ½ to x + ½.
        kinds: `(N,)` class, from 1 on; 0 is background.
        numbers: `(N,)` its pixels' value in `instances`.
        instances: `(H, W)`, 0 background.
        known: `(H, W)`, whether a pixel lies in the labelled region.
    """

    boxes: Tensor
    kinds: Tensor
    numbers: Tensor
    instances: Tensor
    known: Tensor

    def knows(self, boxes: Tensor) -> Tensor:
        """Whether the centre of each of the boxes lies in the labelled region, `(M,)`."""
        height, width = self.known.shape
        columns, rows = ((boxes[:, :2] + boxes[:, 2:]) / 2).round().long().unbind(1)
        inside = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
        at = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        return inside & self.known[at]


def annotated(target: Tensor, weight: Tensor) -> Annotated:
    """The nuclei that `BoxesCodec.encode` drew.

    Args:
        target: `(classes + 3, H, W)`: classes, vectors, and the number of each pixel's nucleus.
        weight: `(1, H, W)`, 0 outside the labelled region.
    """
    instances = target[-1].round().long()
    rows, columns = instances.nonzero(as_tuple=True)
    numbers, owners = torch.unique(instances[rows, columns], return_inverse=True)
    kinds = target[:-3, rows, columns].argmax(dim=0) + 1

    def reduced(values: Tensor, how: str) -> Tensor:
        empty = torch.zeros_like(numbers)
        return empty.scatter_reduce(0, owners, values, how, include_self=False)

    low = torch.stack([reduced(columns, "amin"), reduced(rows, "amin")], dim=1) - 0.5
    high = torch.stack([reduced(columns, "amax"), reduced(rows, "amax")], dim=1) + 0.5
    kept = (high - low >= THINNEST_PX).all(dim=1)
    boxes = torch.cat([low, high], dim=1)[kept]
    return Annotated(boxes, reduced(kinds, "amax")[kept], numbers[kept], instances, weight[0] > 0)


def paint(detections: Detections, size: tuple[int, int], *, classes: int) -> Tensor:
    """Maps `(classes + 2, H, W)` as `BoxesCodec` has them; the best score lies on top.

    In a nucleus's mask: the logit of its score on the map of its class, and the vector to the
    centre of its box in pixels. Elsewhere: `BACKGROUND` and no vector.
    """
    maps = detections.boxes.new_zeros(classes + 2, size[0] * size[1])
    maps[:classes] = BACKGROUND
    order = detections.scores.argsort(stable=True)
    boxes, scores, kinds, masks = (each[order] for each in detections)
    top = torch.zeros_like(maps[0], dtype=torch.long)
    for first in range(0, len(boxes), MOST_AT_ONCE):
        part = slice(first, first + MOST_AT_ONCE)
        pixels, owners = _inside(boxes[part], masks[part], size)
        top = top.scatter_reduce(0, pixels, owners + first + 1, "amax")
    pixels = top.nonzero()[:, 0]
    owners = top[pixels] - 1
    maps[kinds[owners], pixels] = torch.logit(scores[owners], eps=1e-6)
    x, y = ((boxes[owners, :2] + boxes[owners, 2:]) / 2).unbind(1)
    maps[-2, pixels] = x - pixels % size[1]
    maps[-1, pixels] = y - pixels // size[1]
    return maps.view(classes + 2, *size)


def _inside(boxes: Tensor, masks: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The pixels of all masks, as indices into a flattened map, and which mask each is of."""
    bounds = boxes.new_tensor([size[1], size[0]])
    low = boxes[:, :2].ceil().clamp_min(0)
    high = torch.minimum(boxes[:, 2:].floor(), bounds - 1)
    widths, heights = (high - low + 1).clamp_min(0).long().unbind(1)
    areas = widths * heights
    owners = torch.arange(len(boxes), device=boxes.device).repeat_interleave(areas)
    place = torch.arange(len(owners), device=boxes.device) - (areas.cumsum(0) - areas)[owners]
    steps = torch.stack([place % widths[owners], place // widths[owners]], dim=1)
    points = low[owners] + steps
    sides = (boxes[:, 2:] - boxes[:, :2])[owners]
    share = _probabilities(masks, owners, (points - boxes[owners, :2]) / sides)
    x, y = points[share >= 0.5].long().unbind(1)
    return y * size[1] + x, owners[share >= 0.5]


def _probabilities(masks: Tensor, owners: Tensor, places: Tensor) -> Tensor:
    """Masks `(N, M, M)`, interpolated at places `(P, 2)` in [0, 1] of their boxes; 0 around them.

    Args:
        masks: Probabilities.
        owners: `(P,)`, of which mask.
        places: x and y, 0 and 1 the edges of the box.
    """
    side = masks.shape[-1]
    framed = torch.nn.functional.pad(masks, (1, 1, 1, 1))
    at = places * side + 0.5  # of the framed mask, whose cells have their centres at integers
    first = at.floor().long().clamp(0, side)
    (right, down), (x, y) = (at - first).unbind(1), first.unbind(1)
    upper = framed[owners, y, x] * (1 - right) + framed[owners, y, x + 1] * right
    lower = framed[owners, y + 1, x] * (1 - right) + framed[owners, y + 1, x + 1] * right
    return upper * (1 - down) + lower * down
