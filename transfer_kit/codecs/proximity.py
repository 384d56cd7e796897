"""Proximity maps: MicroNet's and KiNet's targets (papers 002 and 001), and peak regression."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import repeat
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer_kit.codecs.base import (
    Maps,
    by_having_a_name,
    check_classes,
    check_numbers,
    points_of_class,
    register,
)
from transfer_kit.codecs.maxima import local_maxima, refine
from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import NotFiniteMapsError, UserError, nearest_hint


@register
@dataclass(frozen=True, kw_only=True)
class ProximityCodec:
    """How near each pixel is to the closest nuclear centre, as a map that a network regresses.

    The defaults are MicroNet's (paper 002): α = 3, d = 15 px at 40× (3.75 µm), times 5, λ = 5.
    Peak regression (VOCA, paper 000, §5.2) is `decay="reciprocal", radius_um=3.0, scale=1.0`:
    1 / (1 + .8 D) inside 6 px at 20×, which is 1 / (1 + 1.6 D) inside 3 µm.

    With named classes, a nucleus without a name is of unknown class: no map learns around it.

    Attributes:
        classes: One map each; `("",)` is one map for all nuclei.
        radius_um: d of Eq. 1, where the map reaches zero.
        decay: `"exponential"` (Eq. 1) or `"reciprocal"` (peak regression).
        alpha: α of Eq. 1.
        rate_per_um: Of the reciprocal decay.
        scale: Height of the map at a centre.
        lambda_: λ of Eq. 2, the weight of everything that is not near a centre.
        subpixel: Real-valued centres in `encode`, and peaks refined below a pixel in `decode`;
            otherwise centres are rounded to pixels.
        min_distance_um: Half-width of the square within which the highest peak wins; the
            default is VOCA's 4 px at 20×.
        relative_to: A score is the map's value divided by its `"maximum"` (the paper's ξ, which
            finds a nucleus in every image that has a positive pixel) or by `"scale"`.
        threshold: ξ: nuclei with a lower score are dropped.
        ignore_other_classes: Nuclei of classes not listed are background rather than an error.

    Example:
        >>> codec = ProximityCodec(radius_um=1.0)
        >>> points = np.array([[3, 2]], np.float32)
        >>> maps = codec.encode(Annotation.of_points(points), (5, 7), mpp=0.25)
        >>> codec.decode(maps, 0.25, threshold=0.5).points
        array([[3., 2.]], dtype=float32)
    """

    name: ClassVar[str] = "proximity"

    classes: tuple[str, ...] = ("",)
    radius_um: float = 3.75
    decay: Literal["exponential", "reciprocal"] = "exponential"
    alpha: float = 3.0
    rate_per_um: float = 1.6
    scale: float = 5.0
    lambda_: float = 5.0
    subpixel: bool = False
    min_distance_um: float = 2.0
    relative_to: Literal["maximum", "scale"] = "scale"
    threshold: float = 0.5
    ignore_other_classes: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", check_classes(self, self.classes))
        check_numbers(
            self, radius_um=0, alpha=1e-6, rate_per_um=0, scale=1e-6, lambda_=0,
            min_distance_um=0, threshold=0,
        )  # fmt: skip
        for option, known in (("decay", tuple(_DECAYS)), ("relative_to", ("maximum", "scale"))):
            value = getattr(self, option)
            if value not in known:
                raise UserError(
                    f"The option {option!r} of the codec 'proximity' cannot be {value!r}. "
                    f"{nearest_hint(str(value), known)}"
                )

    @property
    def channels(self) -> int:
        """One map a class."""
        return len(self.classes)

    @property
    def reach_um(self) -> float:
        """How far outside a crop a nucleus may lie and still change its target."""
        return self.radius_um

    @property
    def seen_um(self) -> float:
        """See `DecodesNearby`: its window, and those of the few ties that may go before it."""
        return 4 * self.min_distance_um + 1

    def unrelated(self) -> ProximityCodec:
        """See `RelatesToTheBest`."""
        return replace(self, relative_to="scale") if self.relative_to == "maximum" else self

    def encode(
        self,
        annotation: Annotation,
        size: tuple[int, int],
        mpp: float,
        rng: np.random.Generator | None = None,
    ) -> Maps:
        """Eq. 1 times `scale`, one map a class, `(K, H, W)`; see `Codec.encode`.

        Pixels nearest to a nucleus of unknown class are -1.
        """
        named, unnamed = by_having_a_name(annotation, self.classes)
        maps = np.zeros((len(self.classes), *size), np.float32)
        for target, name in zip(maps, self.classes, strict=True):
            points = points_of_class(
                named, name, classes=self.classes, ignore_others=self.ignore_other_classes
            )
            self._stamp(target, points, mpp)
        if len(unnamed):
            unknown = np.zeros(size, np.float32)
            self._stamp(unknown, unnamed, mpp)
            maps[:, unknown > maps.max(axis=0)] = -1
        return maps

    def _stamp(self, target: Maps, points: Points, mpp: float) -> None:
        if not self.subpixel:
            points = np.floor(points + 0.5)
        stamp_heights(target, points, reach_px=self.radius_um / mpp, height=self._height(mpp))

    def _height(self, mpp: float) -> Callable[[Maps], Maps]:
        """The map's value as a function of the distance in pixels."""
        decay = _DECAYS[self.decay]
        return lambda distance_px: self.scale * decay(distance_px * mpp, self)

    def settled(self, target: Maps, unknown_um: Maps) -> NDArray[np.bool_]:
        """Pixels as near to an annotated nucleus as to any other there may be; see `Codec`.

        Those out of reach of both are settled too. Of several classes the nearest nucleus counts.
        """
        settled: NDArray[np.bool_] = target.max(axis=0) >= self.scale * _DECAYS[self.decay](
            unknown_um, self
        )
        return settled

    def loss(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Eq. 2 of papers 002 and 001: ½ Σ (y + λ ȳ)(o - y)², over pixels; summed over classes.

        ȳ is each map's mean over the labelled pixels of its image; see `Codec.loss`. Pixels of
        unknown class count as not labelled.
        """
        target, weight = target.float(), weight.float()
        if self.classes != ("",):
            # One plane for all maps, as they are unknown together.
            weight = weight * (target[:, :1] >= 0)
        labelled = weight.sum(dim=(2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        mean = (weight * target).sum(dim=(2, 3), keepdim=True) / labelled
        # Chosen before squaring: an output that is not finite stays out of the gradient.
        error = torch.where(weight > 0, output.float() - target, 0.0)
        weighted = weight * (target + self.lambda_ * mean) * error.square()
        return 0.5 * weighted.sum(dim=(1, 2, 3)) / labelled.flatten()

    def decode(self, output: Maps, mpp: float, *, threshold: float | None) -> Nuclei:
        """Local maxima of the highest channel, which names the class; see `Codec.decode`.

        Raises:
            UserError: The maps are not finite.
        """
        highest = output[0] if len(output) == 1 else output.max(axis=0)
        maximum = float(highest.max(initial=0.0))
        if not np.isfinite(maximum):
            raise NotFiniteMapsError(
                "The network's maps hold values that are not finite, so no nuclei can be found "
                "in them: its weights are broken, train it anew or use an earlier checkpoint."
            )
        reference = maximum if self.relative_to == "maximum" else self.scale
        peaks = local_maxima(
            highest,
            radius_px=max(1, round(self.min_distance_um / mpp)),
            # A little lower, so that rounding never parts this from choosing by score below.
            floor=(threshold or 0.0) * reference * (1 - 1e-5),
        )
        if self.subpixel:
            peaks = refine(peaks, highest)
        channel = output.reshape(len(output), -1)[:, peaks.pixels].argmax(axis=0)
        nuclei = Nuclei(
            peaks.points, peaks.values / reference, tuple(self.classes[k] for k in channel)
        )
        return nuclei if threshold is None else nuclei.above(threshold)


def stamp_heights(
    target: Maps, points: Points, *, reach_px: float, height: Callable[[Maps], Maps]
) -> None:
    """Raise `target` to `height(distance to the nearest point)`, where that is higher.

    Exact, as the highest of all points' heights at a pixel is that of the nearest one. Only a
    window around each point is looked at, which for nuclei takes a fraction of the time of a
    distance transform of the whole image, and lets points lie between and outside pixels.

    Args:
        target: `(H, W)`, changed in place.
        points: `(N, 2)`, x and y in pixels.
        reach_px: Distance from which on `height` is zero.
        height: Of float32 distances in pixels, elementwise, and never rising with them.
    """
    rows, columns = target.shape
    reach = int(reach_px + 0.5)
    nearest = np.floor(points + 0.5)
    touching = np.all((nearest >= -reach) & (nearest < np.array([columns, rows]) + reach), axis=1)
    points, nearest = points[touching], nearest[touching]
    first = nearest.astype(np.intp) - reach
    start = np.maximum(first, 0)
    windows = np.hstack([start, first + 2 * reach + 1, start - first]).tolist()
    stamps = _stamps(points - nearest, reach, height)
    for stamp, (left, top, right, bottom, cut_x, cut_y) in zip(stamps, windows, strict=True):
        window = target[top:bottom, left:right]
        within = stamp[cut_y : cut_y + window.shape[0], cut_x : cut_x + window.shape[1]]
        np.maximum(window, within, out=window)


def _stamps(offsets: Points, reach: int, height: Callable[[Maps], Maps]) -> Iterable[Maps]:
    """Heights `(2 reach + 1)²` around pixels, of points `offsets` away from them."""
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    if not offsets.any():
        yield from repeat(height(np.hypot(steps, steps[:, None])), len(offsets))
        return
    for batch in np.array_split(offsets, -(-len(offsets) // 64)):  # small enough for the cache
        along_x, along_y = (steps - batch.T[:, :, None]) ** 2
        yield from height(np.sqrt(along_y[:, :, None] + along_x[:, None, :]))


def _exponential(distance_um: Maps, codec: ProximityCodec) -> Maps:
    """Eq. 1 of paper 002 without its scale; at and beyond the radius 0."""
    value: Maps = np.expm1(codec.alpha - codec.alpha / codec.radius_um * distance_um)
    value /= math.expm1(codec.alpha)
    value[value < 0] = 0
    return value


def _reciprocal(distance_um: Maps, codec: ProximityCodec) -> Maps:
    """Peak regression of paper 000, §5.2; at and beyond the radius 0."""
    value: Maps = np.reciprocal(1 + codec.rate_per_um * distance_um)
    value[distance_um >= codec.radius_um] = 0
    return value


_DECAYS: dict[str, Callable[[Maps, ProximityCodec], Maps]] = {
    "exponential": _exponential,
    "reciprocal": _reciprocal,
}
