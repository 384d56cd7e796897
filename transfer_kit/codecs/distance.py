"""Distance maps of nuclei: DIST's targets and post-processing (paper 003)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
from transfer_kit.codecs.watershed import separate
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import UserError, nearest_hint

UNKNOWN = -1.0
"""In a target: a pixel whose distance depends on what lies outside the crop. It has no loss."""

_TARGETS = ("raw", "normalised", "softmax")
_FRACTIONS = 255  # steps in which maps between 0 and 1 are post-processed
_RAW_DYNAMICS = (0.0, 1.0, 2.0)
_RAW_FOREGROUND = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_FRACTION_DYNAMICS = tuple(step / _FRACTIONS for step in (0, 6, 8, 10, 12, 24))
_FRACTION_FOREGROUND = (0.1, 0.2, 0.3, 0.4, 0.5)


@register
@dataclass(frozen=True, kw_only=True)
class DistanceCodec:
    """How far each pixel of a nucleus is from what is not that nucleus, as a regressed map.

    DIST (paper 003): the chessboard distance to the nearest pixel outside the nucleus, 1 on its
    outermost pixels and 0 on the background. Where nuclei touch, each is the other's outside (as
    in the authors' published code), so that the map has a valley between them.

    Decoding is the paper's section IV-D: pixels above p2 are foreground, maxima whose dynamics
    exceed p1 are nuclei, and a seeded watershed gives each its pixels. Beforehand heights are
    rounded to whole units, which targets have at 40× and without which p1 = 0 makes a nucleus of
    every ripple (the published code cuts decimals off). p1 and p2 are chosen by AJI on validation
    among `variants`, those of the paper's table I.

    The centre of a nucleus is its centroid. Its score is the map's height at its highest pixel,
    in µm for the raw map (about half its width), else as a fraction: what is low is small or
    doubtful, so a precision-recall curve sweeps from the plain nuclei to the faint.

    Attributes:
        classes: One map each; `("",)` is one map for all nuclei.
        target: `"raw"`, `"normalised"` (divided by each nucleus's own maximum) or `"softmax"`
            (the normalised map as probabilities of channels: background, then a channel a class).
            The paper shows the last two to fail (section V).
        unit_um: Length that counts as 1 in the raw map: a pixel at 40× by default, as in the
            paper, so that p1, p2 and the loss beside the weight decay are the paper's. Normalised
            maps have no unit.
        dynamics: p1 of Eq. 4, in units of the map.
        foreground: p2, in units of the map.
        threshold: Nuclei with a lower score are dropped.
        ignore_other_classes: Nuclei of classes not listed are background rather than an error.

    Example:
        >>> codec = DistanceCodec()
        >>> square = np.zeros((9, 9), np.int32)
        >>> square[2:7, 2:7] = 1
        >>> maps = codec.encode(Annotation([[4, 4]], ("",), instances=square), (9, 9), mpp=0.25)
        >>> maps[0, 4]
        array([0., 0., 1., 2., 3., 2., 1., 0., 0.], dtype=float32)
        >>> codec.decode(maps, 0.25, threshold=0.5).points
        array([[4., 4.]], dtype=float32)
    """

    name: ClassVar[str] = "distance"

    classes: tuple[str, ...] = ("",)
    target: Literal["raw", "normalised", "softmax"] = "raw"
    unit_um: float = 0.25
    dynamics: float = 0.0
    foreground: float = 0.5
    threshold: float = 0.0
    ignore_other_classes: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", check_classes(self, self.classes))
        check_numbers(self, unit_um=0, dynamics=0, foreground=0, threshold=0)
        if self.target not in _TARGETS:
            raise UserError(
                f"The option 'target' of the codec 'distance' cannot be {self.target!r}. "
                f"{nearest_hint(str(self.target), _TARGETS)}"
            )

    @property
    def channels(self) -> int:
        """One map a class, and one of background before them for `softmax`."""
        return len(self.classes) + (self.target == "softmax")

    def variants(self) -> tuple[DistanceCodec, ...]:
        """This codec, and others with the p1 and p2 of table I of the paper.

        For normalised maps, of which the table has none, p1 spans that of probabilities and p2
        what such maps, flat and low as section V shows them, need.
        """
        raw = self.target == "raw"
        others = (
            replace(self, dynamics=p1, foreground=p2)
            for p1 in (_RAW_DYNAMICS if raw else _FRACTION_DYNAMICS)
            for p2 in (_RAW_FOREGROUND if raw else _FRACTION_FOREGROUND)
        )
        return (self, *(other for other in others if other != self))

    @property
    def reach_um(self) -> float:
        """How far outside a crop the centre of a nucleus may lie whose pixels reach in."""
        return NUCLEUS_REACH_UM

    def encode(
        self,
        annotation: Annotation,
        size: tuple[int, int],
        mpp: float,
        rng: np.random.Generator | None = None,
    ) -> Maps:
        """Distance maps, one a class, `(K, H, W)`; `UNKNOWN` where the crop cannot tell.

        A nucleus may go on outside the crop. There the nearest pixel outside the nucleus may lie
        nearer than any in the crop, so distances above that to the edge are unknown; of the
        normalised map all of a nucleus that touches the edge is.

        Raises:
            UserError: the annotation has centres alone, or a class that the codec does not know.
        """
        instances = instance_map(annotation, size, codec=self.name)
        classes = class_map(
            annotation, instances, classes=self.classes, ignore_others=self.ignore_other_classes
        )
        distance = chessboard_distance(instances)
        if self.target == "raw":
            heights = distance * np.float32(mpp / self.unit_um)
            heights[distance > _distance_to_edge(size)] = UNKNOWN
        else:
            heights = _normalised(distance, instances)
        numbers = np.arange(1, len(self.classes) + 1, dtype=np.uint8)[:, None, None]
        return np.where(classes == numbers, heights, np.float32(0))

    def settled(self, target: Maps, unknown_um: Maps) -> NDArray[np.bool_]:
        """Pixels of an annotated nucleus, and those too far from any other; see `Codec`."""
        return np.asarray((target != 0).any(axis=0) | (unknown_um >= self.reach_um))

    def loss(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Mean squared error (Eq. 3) over the pixels that are known, summed over classes.

        Of `softmax` the error is that of the probabilities; see `Codec.loss`.
        """
        target = target.float()
        known = torch.where(target == UNKNOWN, 0.0, weight.float())
        # Chosen before anything is computed: outputs that are not finite stay out of the gradient.
        output = torch.where(weight > 0, output.float(), 0.0)
        if self.target == "softmax":
            output = output.softmax(dim=1)[:, 1:]
        error = torch.where(known > 0, output - target, 0.0)
        pixels = known.sum(dim=(2, 3)).clamp_min(torch.finfo(torch.float32).tiny)
        return ((known * error.square()).sum(dim=(2, 3)) / pixels).sum(dim=1)

    def decode(self, output: Maps, mpp: float, *, threshold: float | None) -> Nuclei:
        """Nuclei with instances; the class is that whose map has the most volume in it.

        Raises:
            UserError: The maps are not finite.
        """
        return self.decode_within(output, mpp, threshold=threshold, within=None)

    def rim_um(self) -> float:
        """See `DecodesPieces`: nothing is smoothed."""
        return 0.0

    def pieces(self, output: Maps, mpp: float) -> NDArray[np.bool_]:
        """See `DecodesPieces`: what is at least a step high, and less than p1 below foreground."""
        highest = self._highest(self._heights(output))
        lowest = int(self.foreground * self._steps) - int(self.dynamics * self._steps + 1e-6)
        return np.asarray((highest > self.foreground) | (self._levels(highest) >= max(1, lowest)))

    def decode_within(
        self, output: Maps, mpp: float, *, threshold: float | None, within: NDArray[np.bool_] | None
    ) -> Nuclei:
        """See `DecodesPieces`."""
        refuse_not_finite(output)
        heights = self._heights(output)
        highest = self._highest(heights)
        foreground = highest > self.foreground
        instances = separate(
            self._levels(highest),
            foreground if within is None else foreground & within,
            # A little more, so that 11 / 255 counts as 11 of 255 steps.
            dynamics=int(self.dynamics * self._steps + 1e-6),
        )
        tops = highest_of(highest, instances) * (self.unit_um if self.target == "raw" else 1)
        nuclei = nuclei_of(instances, tops.astype(np.float32), heights, self.classes)
        return nuclei if threshold is None else nuclei.above(threshold)

    @property
    def _steps(self) -> int:
        """In which a height of 1 is post-processed."""
        return 1 if self.target == "raw" else _FRACTIONS

    def _heights(self, output: Maps) -> Maps:
        return softmax(output)[1:] if self.target == "softmax" else output

    def _highest(self, heights: Maps) -> Maps:
        return np.asarray(heights[0] if len(heights) == 1 else heights.max(axis=0), np.float32)

    def _levels(self, highest: Maps) -> NDArray[np.uint8]:
        steps = np.rint(np.clip(highest * np.float32(self._steps), 0, 255))
        return np.asarray(steps, np.uint8)


def chessboard_distance(instances: Instances) -> NDArray[np.float32]:
    """Chessboard distance `(H, W)` of each pixel to the nearest that is not of its nucleus.

    Beyond the map nothing is nearer. Background is 0.

    Args:
        instances: `(H, W)`, 0 background; numbers below 2^24.
    """
    # A square of radius k around a pixel is of one nucleus exactly if all squares of radius 1
    # around the pixels within k - 1 are, so one binary transform serves all nuclei.
    numbers = instances.astype(np.float32)  # OpenCV dilates no int32
    square = np.ones((3, 3), np.uint8)
    deep = (numbers > 0) & (cv2.erode(numbers, square) == cv2.dilate(numbers, square))
    distance = cv2.distanceTransform(deep.view(np.uint8), cv2.DIST_C, cv2.DIST_MASK_3)
    # Where nothing ends OpenCV's distance does not either; a side of the map is enough.
    distance = np.minimum(distance, np.float32(max(instances.shape)))
    return np.asarray(distance + (numbers > 0), np.float32)


def highest_of(heights: NDArray[np.float32], instances: Instances) -> NDArray[np.float32]:
    """The greatest height `(N,)` within each of the instances 1 to N."""
    highest = np.full(int(instances.max(initial=0)) + 1, -np.inf, np.float32)
    np.maximum.at(highest, instances.ravel(), heights.ravel())
    return highest[1:]


def softmax(output: Maps) -> Maps:
    """Probabilities of the channels of `(K, H, W)`."""
    powers = np.exp(output - output.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), np.float32)


def _distance_to_edge(size: tuple[int, int]) -> NDArray[np.float32]:
    """Chessboard distance `(H, W)` of each pixel to the nearest outside the map."""
    rows, columns = (
        np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)) for length in size
    )
    return np.minimum(rows[:, None], columns).astype(np.float32)


def _normalised(distance: NDArray[np.float32], instances: Instances) -> NDArray[np.float32]:
    """The distance as a share of its greatest in each nucleus; unknown in those at the edge."""
    greatest = np.append(np.float32(1), highest_of(distance, instances))
    greatest[0] = 1
    shares = distance / greatest[instances]
    at_edge = np.zeros(len(greatest), np.bool_)
    for edge in (instances[0], instances[-1], instances[:, 0], instances[:, -1]):
        at_edge[edge] = True
    at_edge[0] = False
    shares[at_edge[instances]] = UNKNOWN
    return shares
