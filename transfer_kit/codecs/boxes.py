"""Boxes: whole nuclei, each pixel of which points to the centre of its nucleus's box."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from transfer_kit.codecs.base import (
    NUCLEUS_REACH_UM,
    Maps,
    check_classes,
    check_numbers,
    register,
)
from transfer_kit.codecs.instances import (
    Instances,
    class_map,
    instance_map,
    nuclei_of,
    refuse_not_finite,
)
from transfer_kit.codecs.maxima import local_maxima
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import UserError

_FOREGROUND = (0.05, 0.3, 0.5, 0.7)
FARTHEST_UM = 20.0
"""Longer vectors are cut to this along x and y: one end of a slide cannot change the other."""
_LEAST_AREA_PX = 0.01  # of an outline: a box without width, turned with its patch, has not quite 0
_TINY = torch.finfo(torch.float32).tiny


@register
@dataclass(frozen=True, kw_only=True)
class BoxesCodec:
    """Nuclei by their boxes and masks, painted into maps: what Mask R-CNN finds (He et al. 2017).

    Maps, in this order: a score a class (a sigmoid of the network's map), then x and y of the
    vector from each pixel to the centre of the box of the nucleus that it belongs to, in pixels of
    the map. Lists of boxes would have no place in tiles; maps of them do, and any dense network
    can learn them. A network that finds boxes itself knows pixels alone, so the vectors have no
    unit in µm. Where a crop cuts a nucleus, its box is that of the part in the crop.

    Decoding groups the pixels above `foreground` by where they point to. Their ends are counted,
    the counts blurred a little, and each local maximum is a nucleus, which gets the pixels whose
    ends are nearest. The pixels of a painted nucleus all point to one place. A nucleus's score is
    the mean of its pixels', its centre its centroid.

    Attributes:
        classes: A score map each; `("",)` is one for all nuclei.
        foreground: Pixels with a higher score belong to nuclei. What Mask R-CNN paints is one
            score a nucleus, so .05, the least that it paints, keeps all for the threshold to
            choose from. Chosen by AJI on validation among `variants`.
        min_distance_um: Centres of boxes nearer to each other than about this are of one nucleus.
        min_area_um2: Nuclei with less area are dropped; their pixels go to one whose centre they
            point to within twice `min_distance_um`.
        vector_weight: What the vectors' loss is multiplied by before it is added to the scores'.
        threshold: Nuclei with a lower score are dropped.
        ignore_other_classes: Nuclei of classes not listed are background rather than an error.

    Example:
        >>> square = np.zeros((7, 9), np.int32)
        >>> square[2:5, 1:6] = 1
        >>> annotation = Annotation([[3, 3]], ("",), instances=square)
        >>> score, x, y, number = BoxesCodec().encode(annotation, (7, 9), mpp=0.5)
        >>> x[2]
        array([ 0.,  2.,  1.,  0., -1., -2.,  0.,  0.,  0.], dtype=float32)
        >>> BoxesCodec().decode(np.stack([9 * score - 4, x, y]), 0.5, threshold=0.5).points
        array([[3., 3.]], dtype=float32)
    """

    name: ClassVar[str] = "boxes"

    classes: tuple[str, ...] = ("",)
    foreground: float = 0.5
    min_distance_um: float = 1.0
    min_area_um2: float = 3.0
    vector_weight: float = 0.2
    threshold: float = 0.0
    ignore_other_classes: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", check_classes(self, self.classes))
        check_numbers(
            self, foreground=0, min_distance_um=0, min_area_um2=0, vector_weight=0, threshold=0
        )

    @property
    def channels(self) -> int:
        """A score a class, and two of the vector."""
        return len(self.classes) + 2

    def variants(self) -> tuple[BoxesCodec, ...]:
        """This codec, and others with a lower or higher `foreground`."""
        others = (replace(self, foreground=value) for value in _FOREGROUND)
        return (self, *(other for other in others if other != self))

    @property
    def reach_um(self) -> float:
        """How far outside a crop the centre of a nucleus may lie whose pixels reach in."""
        return NUCLEUS_REACH_UM

    @property
    def seen_um(self) -> float:
        """See `DecodesNearby`: pixels that point to its surroundings, and where theirs point."""
        return 3 * FARTHEST_UM + 8 * self.min_distance_um

    def encode(
        self,
        annotation: Annotation,
        size: tuple[int, int],
        mpp: float,
        rng: np.random.Generator | None = None,
    ) -> Maps:
        """`(channels + 1, H, W)`: 0 or 1 a class, the vector, and the number of the nucleus.

        Pixels of no nucleus are 0 in all maps. The numbers, 1 and up, tell a network that judges
        itself which pixels are one nucleus's.

        Raises:
            UserError: the annotation has centres alone, an outline without area, or a class that
                the codec does not know.
        """
        _refuse_without_area(annotation)
        instances = instance_map(annotation, size, codec=self.name)
        kinds = class_map(
            annotation, instances, classes=self.classes, ignore_others=self.ignore_other_classes
        )
        rows, columns = np.nonzero(kinds)
        owners = instances[rows, columns]
        maps = np.zeros((self.channels + 1, *size), np.float32)
        maps[kinds[rows, columns] - 1, rows, columns] = 1
        maps[-3, rows, columns] = _middles(columns, owners) - columns
        maps[-2, rows, columns] = _middles(rows, owners) - rows
        maps[-1, rows, columns] = owners
        return maps

    def settled(self, target: Maps, unknown_um: Maps) -> NDArray[np.bool_]:
        """Pixels of an annotated nucleus, and those too far from any other; see `Codec`."""
        return np.asarray((target[-1] > 0) | (unknown_um >= self.reach_um))

    def loss(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Cross-entropy of the scores, and smooth L1 of the vectors; see `Codec.loss`.

        The former is a mean over labelled pixels, summed over classes; the latter one over those
        of nuclei, summed over x and y.
        """
        weight = weight.float()
        # Chosen first: an output that is not finite stays out of the gradient.
        output = torch.where(weight > 0, output.float(), 0.0)
        target, last = target.float(), len(self.classes)
        entropy = functional.binary_cross_entropy_with_logits(
            output[:, :last], target[:, :last], reduction="none"
        )
        vectors = slice(last, last + 2)
        error = functional.smooth_l1_loss(output[:, vectors], target[:, vectors], reduction="none")
        inside = weight * (target[:, -1:] > 0)
        return _mean(entropy, weight) + self.vector_weight * _mean(error, inside)

    def decode(self, output: Maps, mpp: float, *, threshold: float | None) -> Nuclei:
        """Nuclei with instances; the class is that of the greatest sum of scores.

        Raises:
            UserError: The maps are not finite.
        """
        refuse_not_finite(output)
        last = len(self.classes)
        scores = 0.5 + 0.5 * np.tanh(0.5 * output[:last])  # a sigmoid that never overflows
        highest = scores[0] if last == 1 else scores.max(axis=0)
        farthest = np.float32(FARTHEST_UM / mpp)
        vectors_px = output[last : last + 2].clip(-farthest, farthest)
        instances = self._grouped(vectors_px, highest > self.foreground, mpp)
        areas = np.bincount(instances.ravel())[1:]
        sums = np.bincount(instances.ravel(), weights=highest.ravel())[1:]
        means = np.divide(sums, areas, dtype=np.float32, casting="same_kind")
        nuclei = nuclei_of(instances, means, scores, self.classes)
        return nuclei if threshold is None else nuclei.above(threshold)

    def _grouped(self, vectors_px: Maps, foreground: NDArray[np.bool_], mpp: float) -> Instances:
        """Instances 1 to N of the foreground's pixels, by the ends `(2, H, W)` of their vectors."""
        pixels = np.flatnonzero(foreground)
        ends = _ends(vectors_px, pixels)
        votes = np.bincount(ends, minlength=foreground.size).reshape(foreground.shape)
        radius_px = self.min_distance_um / mpp
        density = cv2.GaussianBlur(
            votes.astype(np.float32),
            (0, 0),
            max(radius_px / 3, 0.5),
            borderType=cv2.BORDER_CONSTANT,
        )
        peaks = local_maxima(density, radius_px=max(1, round(radius_px / 2))).pixels
        owners, _ = _nearest(peaks, foreground.shape)
        areas = np.bincount(owners[ends], minlength=len(peaks) + 1)[1:]
        large = (areas > 0) & (areas * mpp**2 >= self.min_area_um2)
        survivors, distance = _nearest(peaks[large], foreground.shape)
        near = np.append(False, large)[owners[ends]] | (distance[ends] <= 2 * radius_px)
        instances = np.zeros(foreground.size, np.int32)
        instances[pixels] = np.where(near, survivors[ends], 0)
        return instances.reshape(foreground.shape)


def _refuse_without_area(annotation: Annotation) -> None:
    if annotation.instances is not None:
        return
    drawn = [k for k, outline in enumerate(annotation.outlines) if outline is not None]
    areas = shapely.area(np.array([annotation.outlines[k] for k in drawn], dtype=object))
    without = np.flatnonzero(areas < _LEAST_AREA_PX)
    if len(without):
        x, y = annotation.points[drawn[int(without[0])]]
        raise UserError(
            f"The codec 'boxes' needs boxes with an area, but the outline of the nucleus at x "
            f"{x:.0f}, y {y:.0f} has a width or height of 0 ({len(without)} such in the crop); "
            "draw it anew or delete it."
        )


def _middles(positions: NDArray[np.intp], owners: Instances) -> NDArray[np.float32]:
    """Half-way between the first and last position of its owner, for each pixel."""
    count = int(owners.max(initial=0)) + 1
    first, last = np.full(count, np.iinfo(np.intp).max), np.zeros(count, np.intp)
    np.minimum.at(first, owners, positions)
    np.maximum.at(last, owners, positions)
    return ((first + last) / 2).astype(np.float32)[owners]


def _ends(vectors_px: Maps, pixels: NDArray[np.intp]) -> NDArray[np.intp]:
    """The pixel that each of `pixels`, as indices into a flattened map, points to or towards."""
    height, width = vectors_px.shape[1:]
    rows, columns = np.divmod(pixels, width)
    x, y = vectors_px.reshape(2, -1)[:, pixels]
    x = np.clip(np.rint(columns + x), 0, width - 1)
    y = np.clip(np.rint(rows + y), 0, height - 1)
    ends: NDArray[np.intp] = y.astype(np.intp) * width + x.astype(np.intp)
    return ends


def _nearest(
    peaks: NDArray[np.intp], size: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each pixel of a flattened map, 1 + the position of its nearest peak, and its distance.

    Without peaks it is 0, at a distance without end.
    """
    if not len(peaks):
        count = size[0] * size[1]
        return np.zeros(count, np.intp), np.full(count, np.inf, np.float32)
    elsewhere = np.ones(size, np.uint8)
    elsewhere.ravel()[peaks] = 0
    distance, regions = cv2.distanceTransformWithLabels(
        elsewhere, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    numbers = np.zeros(len(peaks) + 1, np.intp)
    numbers[regions.ravel()[peaks]] = np.arange(1, len(peaks) + 1)
    return numbers[regions.ravel()], distance.ravel()


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted means over pixels, summed over maps, `(B,)`; 0 where there is no weight."""
    total = weight.sum(dim=(1, 2, 3)).clamp_min(_TINY)
    return (weight * values).sum(dim=(1, 2, 3)) / total
