"""Concentric labels: SegMitos' circles with an ignored ring around them (paper 004)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from transfer_kit.codecs.base import (
    Maps,
    check_classes,
    check_numbers,
    points_of_class,
    register,
)
from transfer_kit.codecs.blobs import (
    GAUSSIAN_REACH,
    blobs_in,
    levels_of,
    otsu_foreground,
    otsu_threshold,
    smoothed,
)
from transfer_kit.codecs.distance import softmax
from transfer_kit.codecs.ellipses import Ellipses, Window, ellipses_in_boxes
from transfer_kit.codecs.instances import nuclei_of, refuse_not_finite
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import UserError, nearest_hint

IGNORED = -1.0
"""In a target: a pixel of the ring, which may belong to the nucleus or not. It has no loss."""

_SHAPES = ("circle", "ellipse")
# 0 to 1000 pixels at 40x. 200 to 500 do well in the paper (section 4.2.1); the authors' published
# code tries 300 to 1000.
_AREAS_UM2 = (0.0, 6.25, 12.5, 18.75, 25.0, 31.25, 43.75, 62.5)
# Radii whose quotient by mpp rounds to just below a whole pixel reach it all the same.
_RIM = 1 + 1e-9


@register
@dataclass(frozen=True, kw_only=True)
class ConcentricCodec:
    """Whether a pixel is of a nucleus, learned from centres alone (SegMitos, paper 004).

    Around each centre a small circle is foreground, and outside of a larger one is background;
    the ring between the two holds pixels of both and is ignored (section 3.2). The defaults are
    the paper's random radii: r is drawn between 10 and 17 px at 40×, and R is 1.5 to 2.5 r, anew
    for each nucleus at each look. `inner_um=(3, 3), ratio=(2, 2)` is its r12R24, and
    `inner_um=(3, 3), ratio=(1, 1)` its circle r12, without a ring.

    Decoding is the paper's section 3.3: a Gaussian, Otsu's threshold over the whole image, and
    connected blobs that are larger than a1 and whose mean probability is at least s1. s1 is
    `threshold`; a1 is chosen among `variants` together with it.

    With several classes, which the paper has not, a pixel inside several small circles belongs to
    the nucleus whose centre is nearest, in radii.

    Attributes:
        classes: Told apart by their own channels; `("",)` is one for all nuclei.
        shape: `"circle"`, or `"ellipse"` for lesions of all sizes, such as breast masses (section
            4.6): the ellipses have the axes of a nucleus's box. A nucleus of an instance map that
            the crop cuts has no known box, and is ignored. Circles are found as centres,
            ellipses as instances too.
        inner_um: Lowest and highest r.
        inner_share: In place of `inner_um` for ellipses, the lowest and highest share of the
            box's half-axes; the paper shows its own in a drawing without numbers (Fig. 13). With
            the default and the paper's R / r, the box lies in the ring or within.
        ratio: Lowest and highest R / r; `(1, 1)` leaves no ring.
        foreground_weight: How much a pixel of foreground counts in the loss; the paper counts all
            alike (Eq. 1), and shows patches with mitoses more often.
        smoothing_um: Standard deviation of the Gaussian, 0 for none; the paper does not tell its.
        binarisation: `"otsu"`, or the probability above which a pixel is foreground. Otsu's
            threshold is chosen among 256 from 0 to 1 (in the published code from the lowest to
            the highest value), so that an image without any response has no blobs.
        min_area_um2: a1: blobs of this area and smaller are dropped.
        threshold: s1: blobs with a lower mean probability (of the smoothed map) are dropped.
        ignore_other_classes: Nuclei of classes not listed are background rather than an error.

    Example:
        >>> codec = ConcentricCodec(inner_um=(0.5, 0.5), ratio=(2, 2))
        >>> annotation = Annotation.of_points(np.array([[5, 1]], np.float32))
        >>> codec.encode(annotation, (3, 11), mpp=0.25)[0, 1]
        array([ 0., -1., -1.,  1.,  1.,  1.,  1.,  1., -1., -1.,  0.],
              dtype=float32)
    """

    name: ClassVar[str] = "concentric"

    classes: tuple[str, ...] = ("",)
    shape: Literal["circle", "ellipse"] = "circle"
    inner_um: tuple[float, float] = (2.5, 4.25)
    inner_share: tuple[float, float] = (0.7, 0.9)
    ratio: tuple[float, float] = (1.5, 2.5)
    foreground_weight: float = 1.0
    smoothing_um: float = 0.5
    binarisation: Literal["otsu"] | float = "otsu"
    min_area_um2: float = 12.5
    threshold: float = 0.5
    ignore_other_classes: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", check_classes(self, self.classes))
        check_numbers(self, foreground_weight=0, min_area_um2=0, threshold=0)
        if self.smoothing_um != 0:
            check_numbers(self, smoothing_um=0)
        for option in ("inner_um", "inner_share", "ratio"):
            object.__setattr__(self, option, _check_range(option, getattr(self, option)))
        if self.ratio[0] < 1:
            raise UserError(
                f"The option 'ratio' of the codec 'concentric' is the outer radius over the inner "
                f"one, but {self.ratio[0]:g} makes the outer smaller; give at least 1, or "
                "[1, 1] for no ring."
            )
        if self.shape not in _SHAPES:
            raise UserError(
                f"The option 'shape' of the codec 'concentric' cannot be {self.shape!r}. "
                f"{nearest_hint(str(self.shape), _SHAPES)}"
            )
        if self.binarisation != "otsu":
            _check_probability(self.binarisation)

    @property
    def channels(self) -> int:
        """One of background, then one a class (two in the paper)."""
        return len(self.classes) + 1

    def variants(self) -> tuple[ConcentricCodec, ...]:
        """This codec, and others with an a1 that the paper or its published code tries."""
        others = (replace(self, min_area_um2=area) for area in _AREAS_UM2)
        return (self, *(other for other in others if other != self))

    @property
    def reach_um(self) -> float:
        """How far outside a crop a nucleus may lie and still change its target."""
        return self.inner_um[1] * self.ratio[1]

    def encode(
        self,
        annotation: Annotation,
        size: tuple[int, int],
        mpp: float,
        rng: np.random.Generator | None = None,
    ) -> Maps:
        """One map `(1, H, W)`: 0 background, k the class k - 1, `IGNORED` in rings.

        A pixel exactly r from a centre is foreground, one exactly R away is in the ring. Where
        the ring of one nucleus meets the foreground of another, foreground wins.

        Raises:
            UserError: a class that the codec does not know; for ellipses also a nucleus with a
                centre alone, or with a box of no width or height.
        """
        rng = np.random.default_rng(0) if rng is None else rng
        numbers = self._class_numbers(annotation)
        ratios = rng.uniform(*self.ratio, len(annotation))
        cut: list[Window] = []
        if self.shape == "circle":
            radii = np.round(rng.uniform(*self.inner_um, len(annotation)) / mpp, 6)
            inner = Ellipses.circles(annotation.points, radii)
        else:
            shares = rng.uniform(*self.inner_share, len(annotation))
            boxes, owners, cut = ellipses_in_boxes(annotation, size, codec=self.name)
            inner = boxes.scaled(shares[owners])
            numbers, ratios = numbers[owners], ratios[owners]
        return _concentric(inner, ratios, numbers, size, cut)[None]

    def settled(self, target: Maps, unknown_um: Maps) -> NDArray[np.bool_]:
        """Foreground, which stays so, and pixels out of reach of any other nucleus; see `Codec`.

        The ring is as settled as it is not: it has no loss.
        """
        return np.asarray((target[0] > 0) | (unknown_um > self.reach_um))

    def _class_numbers(self, annotation: Annotation) -> NDArray[np.intp]:
        """Of each nucleus: k the class `classes[k - 1]`, 0 for background."""
        if self.classes == ("",):
            return np.ones(len(annotation), np.intp)
        points_of_class(
            annotation,
            self.classes[0],
            classes=self.classes,
            ignore_others=self.ignore_other_classes,
        )
        known = {name: number for number, name in enumerate(self.classes, start=1)}
        return np.array([known.get(name, 0) for name in annotation.classes], np.intp)

    def loss(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The concentric loss (Eq. 1): cross-entropy, its mean over the pixels outside rings.

        The paper's is the sum, so its learning rates are to be multiplied by the pixels of a
        patch. Its weight decay is the optimizer's. See `Codec.loss`.
        """
        target = target[:, 0].float()
        known = torch.where(target == IGNORED, 0.0, weight[:, 0].float())
        # Chosen before anything is computed: outputs that are not finite stay out of the gradient.
        output = torch.where(known[:, None] > 0, output.float(), 0.0)
        classes = target.clamp_min(0).long()
        entropy = functional.cross_entropy(output, classes, reduction="none")
        counts = torch.where(classes > 0, self.foreground_weight * known, known)
        pixels = known.sum(dim=(1, 2)).clamp_min(torch.finfo(torch.float32).tiny)
        return (counts * entropy).sum(dim=(1, 2)) / pixels

    def decode(self, output: Maps, mpp: float, *, threshold: float | None) -> Nuclei:
        """Blobs at their centroids (section 3.3); the class is that of the greatest probability.

        Raises:
            UserError: The maps are not finite.
        """
        return self.decode_within(output, mpp, threshold=threshold, within=None)

    def rim_um(self) -> float:
        """See `DecodesPieces`: as far as the Gaussian reaches."""
        return GAUSSIAN_REACH * self.smoothing_um

    def pieces(self, output: Maps, mpp: float) -> NDArray[np.bool_]:
        """See `DecodesPieces`: the blobs, of whatever size."""
        return self._foreground(smoothed(1 - softmax(output)[0], self.smoothing_um / mpp))

    def survey(
        self, output: Maps, mpp: float, searched: NDArray[np.bool_]
    ) -> NDArray[np.int64] | None:
        """See `SurveysFirst`: how often each of 256 probabilities occurs, for Otsu's threshold."""
        if self.binarisation != "otsu":
            return None
        inside = smoothed(1 - softmax(output)[0], self.smoothing_um / mpp)
        return np.bincount(levels_of(inside)[searched], minlength=256)

    def surveyed(self, found: NDArray[np.int64]) -> ConcentricCodec:
        """See `SurveysFirst`: with Otsu's threshold of all pixels."""
        return replace(self, binarisation=otsu_threshold(found))

    def decode_within(
        self, output: Maps, mpp: float, *, threshold: float | None, within: NDArray[np.bool_] | None
    ) -> Nuclei:
        """See `DecodesPieces`."""
        refuse_not_finite(output)
        probability = softmax(output)
        inside = smoothed(1 - probability[0], self.smoothing_um / mpp)
        foreground = self._foreground(inside)
        if within is not None:
            foreground = foreground & within
        blobs = blobs_in(inside, foreground, above_px=self.min_area_um2 / mpp**2)
        nuclei = nuclei_of(blobs.instances, blobs.scores, probability[1:], self.classes)
        if threshold is not None:
            nuclei = nuclei.above(threshold)
        # The blob of a circle is as large as the radii say, whatever the size of its nucleus.
        return nuclei if self.shape == "ellipse" else replace(nuclei, instances=None)

    def _foreground(self, inside: Maps) -> NDArray[np.bool_]:
        if self.binarisation == "otsu":
            return otsu_foreground(inside)
        return np.asarray(inside > self.binarisation, np.bool_)


def _concentric(
    inner: Ellipses,
    ratios: NDArray[np.float64],
    numbers: NDArray[np.intp],
    size: tuple[int, int],
    cut: list[Window],
) -> NDArray[np.float32]:
    """Foreground, rings and background `(H, W)`.

    Only the window of each ellipse is looked at, so that centres may lie between and outside
    pixels, and empty places cost nothing.

    Args:
        inner: The ellipses that are foreground.
        ratios: R / r of each, `(N,)`.
        numbers: What each is in the map, `(N,)`; those of 0 are left out.
        size: Height and width in pixels.
        cut: Windows of nuclei of unknown extent.
    """
    target = np.zeros(size, np.float32)
    nearest = np.full(size, _RIM)
    for part in cut:
        target[part] = IGNORED
    windows = inner.scaled(ratios).windows(size)
    for number in np.flatnonzero(numbers).tolist():
        window = windows[number]
        if window is None:
            continue
        squares = inner.squares(number, window)
        own, known = target[window], nearest[window]
        own[(squares <= ratios[number] ** 2 * _RIM) & (own == 0)] = IGNORED
        closer = squares < known
        own[closer] = numbers[number]
        known[closer] = squares[closer]
    return target


def _check_range(option: str, value: object) -> tuple[float, float]:
    """The lowest and the highest of what is drawn."""
    ends = tuple(value) if isinstance(value, (list, tuple)) else ()
    numbers = [e for e in ends if isinstance(e, (int, float)) and not isinstance(e, bool)]
    if len(ends) != 2 or len(numbers) != 2 or not 0 < numbers[0] <= numbers[1] < np.inf:
        raise UserError(
            f"The option {option!r} of the codec 'concentric' must be the lowest and the highest "
            f"of what is drawn, two numbers above 0 such as [3, 3] for always 3, but got {value!r}."
        )
    return float(numbers[0]), float(numbers[1])


def _check_probability(value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1:
        raise UserError(
            f"The option 'binarisation' of the codec 'concentric' must be 'otsu' or a number "
            f"between 0 and 1, but got {value!r}."
        )
