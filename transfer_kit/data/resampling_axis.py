"""How the pixels along one side of a resampled image come from those of the original."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CUBIC = -0.75  # OpenCV's and Photoshop's
_LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class ResampledAxis:
    """One side of an image, enlarged by `factor`.

    A pixel is a mean over the area that it covers where pixels grow larger, and a cubic through
    four where they become smaller, as `cv2.resize` has it with INTER_AREA and INTER_CUBIC. Where it
    comes from depends on its place in the whole image alone, so that parts of an image can be
    resampled one by one.

    Attributes:
        length: Pixels of the original.
        factor: New pixels for each of them.
    """

    length: int
    factor: float

    @property
    def resampled(self) -> int:
        """Pixels of the resampled side."""
        return max(1, round(self.length * self.factor))

    def sources(self, first: int, stop: int) -> tuple[int, int]:
        """First and one past the last original pixel that resampled ones `[first, stop)` need."""
        index, _ = self.taps(first, stop)
        return int(index.min()), int(index.max()) + 1

    def taps(self, first: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Original pixels, and their weights, for resampled ones `[first, stop)`.

        Returns:
            Both `(T, stop - first)`; weights of a pixel sum to 1.
        """
        places = np.arange(first, stop)
        return self._areas(places) if self.factor < 1 else self._cubics(places)

    def _areas(self, places: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        start, end = places / self.factor, np.minimum((places + 1) / self.factor, self.length)
        start = np.minimum(start, self.length - 1)
        lowest = np.floor(start + _LEAST_SHARE).astype(np.intp)
        count = int(np.ceil(1 / self.factor)) + 1
        index = lowest + np.arange(count)[:, None]
        shares = np.clip(np.minimum(index + 1, end) - np.maximum(index, start), 0, 1)
        shares[shares < _LEAST_SHARE] = 0
        weights = (shares / shares.sum(axis=0)).astype(np.float32)
        # Those without weight may lie outside of what a window reads.
        return np.where(weights > 0, index, lowest), weights

    def _cubics(self, places: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        centre = (places + 0.5) / self.factor - 0.5
        lowest = np.floor(centre).astype(np.intp)
        t = centre - lowest
        a = _CUBIC
        before = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a
        own = ((a + 2) * t - (a + 3)) * t * t + 1
        after = ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1
        weights = np.stack([before, own, after, 1 - before - own - after]).astype(np.float32)
        index = lowest + np.arange(-1, 3)[:, None]
        return np.clip(index, 0, self.length - 1), weights
