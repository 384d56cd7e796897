"""Voting: VOCA's confidence, vectors and weights, accumulated where they point (paper 000)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from transfer_kit.codecs.accumulation import (
    Map,
    Pixels,
    Votes,
    disk_steps,
    disk_values,
    visible_disks,
)
from transfer_kit.codecs.base import (
    Maps,
    check_classes,
    check_numbers,
    points_of_class,
    register,
)
from transfer_kit.codecs.maxima import local_maxima
from transfer_kit.codecs.nearest import nearest_and_count
from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import NotFiniteMapsError, UserError, nearest_hint

_TINY = torch.finfo(torch.float32).tiny
FARTHEST_RADII = 2
"""Vectors longer than so many radii do not vote."""


@register
@dataclass(frozen=True, kw_only=True)
class VotingCodec:
    """Each pixel near a nucleus votes for where its centre is (VOCA, paper 000, §3).

    Maps, in this order: confidence, one a class (Eq. 1, a sigmoid of the network's map); the
    vector's x and y (Eq. 2, identity); and, if `weighted`, the weight (Eq. 3, a ReLU). Lengths
    default to the paper's pixels at 20×, of .5 µm: r = 12 px, 4 px, 2 px. The weight is
    ReLU(1 + map): the network's last bias makes this the paper's ReLU, but training starts from
    a weight of one everywhere, where no pixel is dead.

    With several classes, which the paper has not, the nearest nucleus gives a pixel its class;
    vectors and weights are for all classes together; the highest confidence votes, and a nucleus
    is of the class that has the most votes around it.

    Attributes:
        classes: One map of confidence each; `("",)` is one for all nuclei.
        radius_um: r, within which a pixel belongs to a nucleus.
        vector_unit_um: Length of a vector that is 1 in the maps. A vector has the same value at
            every magnification, so that its loss weighs the same, and the default is the
            paper's pixel. `decode` returns pixels of the map.
        weighted: Whether there is a map of weights; without it this is VOCA-NW (§5.3).
        lambda_1: λ₁ of Eq. 4, of the vectors' loss.
        lambda_2: λ₂ of Eq. 4, of the weights' loss.
        min_distance_um: Half-width of the square within which the highest peak of accumulated
            votes wins (§5.3).
        score_radius_um: Votes this near a peak are its score (§5.3).
        subpixel: Nuclei lie at the mean of the votes within `score_radius_um` rather than at
            the pixel with the most.
        relative_to: What a nucleus's votes are divided by to give its score. `"maximum"` is the
            paper's: the most votes in the image, so that the best nucleus scores 1 even where
            there is none at all, and a blank tile has detections at any threshold. `"disk"`: the
            pixels of the image less than r away, all of which vote for a nucleus that stands
            alone and is wholly understood. Crowded nuclei share pixels, which Eq. 3 makes good,
            so that this is on average 1 for them too. Scores then compare between images, and
            an image without nuclei has none.
        threshold: Nuclei with a lower score are dropped.
        ignore_other_classes: Nuclei of classes not listed are background rather than an error.

    Example:
        >>> codec = VotingCodec(radius_um=1.0)
        >>> points = np.array([[3, 2]], np.float32)
        >>> maps = codec.encode(Annotation.of_points(points), (5, 7), mpp=0.5)
        >>> maps[1:3, 2, 4]  # one pixel to the right of the centre
        array([-1.,  0.], dtype=float32)
    """

    name: ClassVar[str] = "voting"

    classes: tuple[str, ...] = ("",)
    radius_um: float = 6.0
    vector_unit_um: float = 0.5
    weighted: bool = True
    lambda_1: float = 1.0
    lambda_2: float = 1.0
    min_distance_um: float = 2.0
    score_radius_um: float = 1.0
    subpixel: bool = False
    relative_to: Literal["maximum", "disk", "none"] = "disk"
    threshold: float = 0.2
    ignore_other_classes: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", check_classes(self, self.classes))
        check_numbers(
            self, radius_um=0, vector_unit_um=0, lambda_1=0, lambda_2=0, min_distance_um=0,
            score_radius_um=0, threshold=0,
        )  # fmt: skip
        known = ("maximum", "disk", "none")
        if self.relative_to not in known:
            raise UserError(
                f"The option 'relative_to' of the codec 'voting' cannot be {self.relative_to!r}. "
                f"{nearest_hint(str(self.relative_to), known)}"
            )
        for option in ("weighted", "subpixel"):
            if not isinstance(getattr(self, option), bool):
                raise UserError(
                    f"The option {option!r} of the codec 'voting' must be true or false, but got "
                    f"{getattr(self, option)!r}."
                )

    @property
    def channels(self) -> int:
        """A confidence a class, two of the vector, and one of the weight if there is one."""
        return len(self.classes) + 2 + self.weighted

    @property
    def reach_um(self) -> float:
        """How far outside a crop a nucleus may lie and still change its target."""
        return self.radius_um

    @property
    def seen_um(self) -> float:
        """See `DecodesNearby`: how far votes for its surroundings come from."""
        return FARTHEST_RADII * self.radius_um + 2 * self.min_distance_um + self.score_radius_um

    def unrelated(self) -> VotingCodec:
        """See `RelatesToTheBest`."""
        return replace(self, relative_to="none") if self.relative_to == "maximum" else self

    def encode(
        self,
        annotation: Annotation,
        size: tuple[int, int],
        mpp: float,
        rng: np.random.Generator | None = None,
    ) -> Maps:
        """Eq. 1 to 3, `(channels, H, W)`: 0 or 1, vectors in units, whole numbers.

        Pixels of no nucleus are 0 in all maps. A pixel equally near two nuclei belongs to the
        first; see `Codec.encode`.
        """
        points, kinds = self._nuclei(annotation)
        nearest, count = nearest_and_count(points, size, _pixels(self.radius_um, mpp))
        maps = np.zeros((self.channels, *size), np.float32)
        rows, columns = np.nonzero(nearest >= 0)
        owners = nearest[rows, columns]
        maps[kinds[owners], rows, columns] = 1
        x, y = maps[len(self.classes) : len(self.classes) + 2]
        to_units = np.float32(mpp / self.vector_unit_um)
        x[rows, columns] = (points[owners, 0] - columns) * to_units
        y[rows, columns] = (points[owners, 1] - rows) * to_units
        if self.weighted:
            maps[-1] = count
        return maps

    def settled(self, target: Maps, unknown_um: Maps) -> NDArray[np.bool_]:
        """Pixels as near to an annotated nucleus as to any other, or out of reach; see `Codec`.

        Their confidence and vector stay. Their weight, the number of nuclei within r, may lack
        those that are not annotated.
        """
        last = len(self.classes)
        inside = target[:last].max(axis=0) > 0
        nearest_um = np.hypot(*target[last : last + 2]) * self.vector_unit_um
        return np.asarray(
            np.where(inside, nearest_um <= unknown_um, unknown_um >= self.radius_um), np.bool_
        )

    def _nuclei(self, annotation: Annotation) -> tuple[Points, NDArray[np.intp]]:
        """Centres, and the number of each one's class."""
        by_class = [
            points_of_class(
                annotation, name, classes=self.classes, ignore_others=self.ignore_other_classes
            )
            for name in self.classes
        ]
        counts = [len(points) for points in by_class]
        return np.concatenate(by_class), np.repeat(np.arange(len(counts)), counts)

    def loss(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Eq. 4 of paper 000, L_conf + λ₁ L_loc + λ₂ L_wt; see `Codec.loss`.

        Each is a mean over labelled pixels of its image. L_conf: cross-entropy times the inverse
        of the share that the pixel's class (nucleus or not) has of them, summed over classes of
        nuclei; which frequencies the paper takes (of the image, of all data) it does not say.
        L_loc: smooth L1 of x and y, added up, over pixels of nuclei alone. L_wt: smooth L1.
        """
        weight = weight.float()
        # Chosen first: an output that is not finite stays out of the gradient.
        output = torch.where(weight > 0, output.float(), 0.0)
        target = target.float()
        last = len(self.classes)
        inside = target[:, :last]
        entropy = functional.binary_cross_entropy_with_logits(
            output[:, :last], inside, reduction="none"
        )
        # The mean over all pixels of 1 / share is one mean inside nuclei and one outside.
        loss = _mean(entropy, weight * inside) + _mean(entropy, weight * (1 - inside))
        vectors = slice(last, last + 2)
        error = functional.smooth_l1_loss(output[:, vectors], target[:, vectors], reduction="none")
        nuclei = weight * inside.sum(dim=1, keepdim=True)
        loss = loss + self.lambda_1 * _mean(error, nuclei.expand_as(error))
        if self.weighted:
            votes = functional.relu(1 + output[:, -1:])
            error = functional.smooth_l1_loss(votes, target[:, -1:], reduction="none")
            loss = loss + self.lambda_2 * _mean(error, weight)
        return loss

    def decode(self, output: Maps, mpp: float, *, threshold: float | None) -> Nuclei:
        """Eq. 5, non-maximum suppression, and the votes around each peak (§3.3, §5.3).

        Raises:
            UserError: The maps are not finite.
        """
        if not np.isfinite(output).all():
            raise NotFiniteMapsError(
                "The network's maps hold values that are not finite, so no nuclei can be found "
                "in them: its weights are broken, train it anew or use an earlier checkpoint."
            )
        last = len(self.classes)
        strengths = 0.5 * output[:last]
        np.tanh(strengths, out=strengths)  # of half of it: a sigmoid that never overflows
        strengths *= 0.5
        strengths += 0.5
        if self.weighted:
            votes_each = 1 + output[-1]
            strengths *= np.maximum(votes_each, 0, out=votes_each)
        strongest: Map = strengths[0] if last == 1 else strengths.max(axis=0)
        vectors_px = output[last : last + 2] * np.float32(self.vector_unit_um / mpp)
        # No pixel of a nucleus is farther from its centre than r: such votes are mistakes, and
        # would let one end of a slide change the other.
        farthest_px = FARTHEST_RADII * self.radius_um / mpp
        with np.errstate(over="ignore"):  # squares beyond all numbers are of mistakes, too
            near_enough = np.square(vectors_px).sum(axis=0) <= farthest_px**2
        strongest = strongest * near_enough
        votes = Votes.of_vectors(vectors_px)
        accumulated = votes.accumulate(strongest)
        radius_px = max(1, round(self.min_distance_um / mpp))
        peaks = local_maxima(accumulated, radius_px=radius_px).pixels
        centres = np.stack([peaks % output.shape[2], peaks // output.shape[2]], axis=1)
        near = _pixels(self.score_radius_um, mpp)
        received = disk_values(accumulated, centres, disk_steps(near)).sum(axis=1)
        scores = received / self._reference(received, centres, strongest.shape, mpp)
        order = np.argsort(-scores, kind="stable")
        if threshold is not None:
            order = order[scores[order] >= threshold]
        centres, scores = centres[order], scores[order]
        points = centres.astype(np.float32)
        if self.subpixel:
            points = votes.mean_ends(strongest, accumulated, centres, near)
        named = self._most_votes(votes, strengths * near_enough, centres, near)
        return Nuclei(points, scores, named)

    def _reference(self, received: Map, centres: Pixels, size: tuple[int, ...], mpp: float) -> Map:
        """What the votes that each centre received are divided by, `(N,)`."""
        if self.relative_to == "none":
            return np.ones(len(centres), np.float32)
        if self.relative_to == "maximum":
            return np.full(len(centres), received.max(initial=0), np.float32)
        height, width = size
        return visible_disks(centres, (height, width), _pixels(self.radius_um, mpp))

    def _most_votes(
        self, votes: Votes, strengths: Maps, centres: Pixels, radius_px: float
    ) -> tuple[str, ...]:
        """The class with the most votes around each centre."""
        if len(self.classes) == 1:
            return self.classes * len(centres)
        steps = disk_steps(radius_px)
        by_class = [
            disk_values(votes.accumulate(strength), centres, steps).sum(axis=1)
            for strength in strengths
        ]
        return tuple(self.classes[k] for k in np.argmax(by_class, axis=0))


def _pixels(length_um: float, mpp: float) -> float:
    """A length in pixels; 6.6 µm at .55 µm per pixel are 12, not 11.999999999999998."""
    return round(length_um / mpp, 6)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted means over the pixels of each map, added up over maps, `(B,)`; 0 of no weight."""
    total = weight.sum(dim=(2, 3)).clamp_min(_TINY)
    return ((weight * values).sum(dim=(2, 3)) / total).sum(dim=1)
