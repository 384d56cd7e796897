"""F1 as a function of the labelled images: an inverse power law, with an interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeWarning, curve_fit

Floats = NDArray[np.float64]

RESAMPLES = 1000
FEWEST_SIZES = 3
"""Three numbers are fitted."""

_LEAST_C, _MOST_C = 0.05, 3.0
_STARTS = (0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class PowerLaw:
    """`F1(n) = a - b n^-c`, rising towards `a` (Figueroa et al. 2012 of learning curves).

    Attributes:
        a: What no number of images would exceed, 0 to 1.
        b: Not negative: what is lacking with one image.
        c: How fast it is made up, 0.05 to 3.
    """

    a: float
    b: float
    c: float

    def __call__(self, images: ArrayLike) -> Floats:
        """F1 with so many labelled images."""
        n = np.asarray(images, np.float64)
        return np.asarray(self.a - self.b * n**-self.c)

    def more_images(self, images: float, points: float = 0.01) -> float:
        """How many images beside `images` raise F1 by `points`; infinite where none do."""
        lacking = self.a - float(self(images)) - points
        if lacking <= 0:
            return math.inf
        return max(0.0, float((self.b / lacking) ** (1 / self.c)) - images)


@dataclass(frozen=True)
class LearningCurve:
    """A fit to all seeds, and those to resampled ones.

    Attributes:
        law: Of all seeds together.
        resampled: Of seeds drawn with replacement, each with how often it was drawn.
        most_images: With which anything was measured.
        n_seeds: Seeds that were measured.
    """

    law: PowerLaw
    resampled: tuple[tuple[PowerLaw, int], ...]
    most_images: float
    n_seeds: int

    @cached_property
    def _times(self) -> list[int]:
        return [times for _, times in self.resampled]

    def interval(self, images: ArrayLike) -> tuple[Floats, Floats] | None:
        """Ends of the 95 % interval of the curve at each number of images; None with one seed."""
        if self.n_seeds < 2:
            return None
        drawn = np.repeat([law(images) for law, _ in self.resampled], self._times, axis=0)
        low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
        return low, high

    def next_point(self) -> tuple[float, tuple[float, float] | None]:
        """Images that the next point of F1 (.01) costs beyond the most, and its 95 % interval.

        Infinite where the curve ends below; the interval is None with one seed.
        """
        cost = self.law.more_images(self.most_images)
        if self.n_seeds < 2:
            return cost, None
        each = [law.more_images(self.most_images) for law, _ in self.resampled]
        drawn = np.sort(np.repeat(each, self._times))
        # No interpolation between ends of which one may be infinite.
        low, high = (float(drawn[round(share * (len(drawn) - 1))]) for share in (0.025, 0.975))
        return cost, (low, high)


def fit_power_law(images: ArrayLike, f1: ArrayLike) -> PowerLaw:
    """The power law of least squares.

    Args:
        images: Labelled images `(N,)`, at least three different numbers.
        f1: What each gave `(N,)`.

    Raises:
        ValueError: fewer different numbers.
    """
    n, values = np.asarray(images, np.float64), np.asarray(f1, np.float64)
    if len(np.unique(n)) < FEWEST_SIZES:
        raise ValueError(f"a learning curve needs {FEWEST_SIZES} different numbers of images")
    # In units of the fewest images, so that b is what is lacking there whatever c is.
    unit = float(n.min())
    laws = [_fit_from(n / unit, values, c) for c in _STARTS]
    a, lacking, c = min(laws, key=lambda law: float(((_law(n / unit, *law) - values) ** 2).sum()))
    return PowerLaw(a, lacking * unit**c, c)


def fit_learning_curve(
    by_seed: Mapping[int, Sequence[tuple[float, float]]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> LearningCurve:
    """The power law of all seeds, and of seeds drawn with replacement.

    Args:
        by_seed: Pairs of labelled images and F1 of each seed.
        seed: Of the resampling.
        resamples: How many are drawn.

    Raises:
        ValueError: fewer than three different numbers of images in all.
    """
    seeds = sorted(by_seed)
    law = _of_seeds(by_seed, seeds)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), resamples)
    resampled = []
    # Few seeds can be drawn in few ways, so that each way is fitted once.
    for times, count in zip(*np.unique(drawn, axis=0, return_counts=True), strict=True):
        some = [each for each, often in zip(seeds, times, strict=True) for _ in range(often)]
        if len({n for each in some for n, _ in by_seed[each]}) >= FEWEST_SIZES:
            resampled.append((_of_seeds(by_seed, some), int(count)))
    most = max(n for pairs in by_seed.values() for n, _ in pairs)
    return LearningCurve(law, tuple(resampled), float(most), len(seeds))


def _of_seeds(
    by_seed: Mapping[int, Sequence[tuple[float, float]]], seeds: Sequence[int]
) -> PowerLaw:
    pairs = np.array([pair for each in seeds for pair in by_seed[each]], np.float64)
    return fit_power_law(pairs[:, 0], pairs[:, 1])


def _law(n: Floats, a: float, b: float, c: float) -> Floats:
    return np.asarray(a - b * n**-c)


def _fit_from(n: Floats, values: Floats, c: float) -> tuple[float, float, float]:
    import warnings

    top = float(np.clip(values.max() + 0.01, 0.02, 0.99))
    lacking = float(np.clip(top - values.min(), 1e-3, 0.99))
    with warnings.catch_warnings():
        # The covariance, which is not used, cannot be told of three points.
        warnings.simplefilter("ignore", OptimizeWarning)
        found, _ = curve_fit(
            _law, n, values, p0=(top, lacking, c),
            bounds=((0, 0, _LEAST_C), (1, 1, _MOST_C)), max_nfev=2000,
        )  # fmt: skip
    a, b, c = (float(each) for each in found)
    return a, b, c
