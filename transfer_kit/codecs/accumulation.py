"""Votes that pixels cast for the places their vectors point to, and what gathers around a place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Points

Map = NDArray[np.float32]
Pixels = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Votes:
    """Where the vectors of all pixels of one map point to (Eq. 5 of paper 000).

    Attributes:
        pixels: `(H, W)`, the pixel nearest to the end of each vector, as index into a flattened
            map with a frame of one pixel, which takes all votes for places outside.
        beyond: `(2, H, W)` float32, x and y from that pixel's centre to the end itself.
    """

    pixels: NDArray[np.intp]
    beyond: NDArray[np.float32]

    @classmethod
    def of_vectors(cls, vectors_px: NDArray[np.float32]) -> Votes:
        """Each pixel's vote for itself plus its vector, of finite x and y `(2, H, W)`."""
        height, width = vectors_px.shape[1:]
        ends = vectors_px.copy()
        ends[0] += np.arange(width, dtype=np.float32)
        ends[1] += np.arange(height, dtype=np.float32)[:, None]
        np.clip(ends[0], -1, width, out=ends[0])
        np.clip(ends[1], -1, height, out=ends[1])
        nearest = np.rint(ends)
        ends -= nearest
        # In place: fresh pages cost more than the arithmetic.
        x, pixels = nearest.astype(np.intp)
        pixels += 1
        pixels *= width + 2
        pixels += x
        pixels += 1
        return cls(pixels, ends)

    def accumulate(self, strength: Map) -> Map:
        """The sum at each pixel of the `strength` of all pixels that vote for it, `(H, W)`."""
        height, width = strength.shape
        framed = np.zeros((height + 2) * (width + 2), np.float32)
        np.add.at(framed, self.pixels.ravel(), strength.ravel())
        return framed.reshape(height + 2, width + 2)[1:-1, 1:-1]

    def mean_ends(
        self, strength: Map, accumulated: Map, centres: Pixels, radius_px: float
    ) -> Points:
        """Mean ends `(N, 2)` of the votes for pixels at most `radius_px` from each centre.

        Args:
            strength: `(H, W)`, at least 0; what a vote weighs.
            accumulated: What `accumulate` makes of it.
            centres: `(N, 2)`, x and y of pixels that have votes.
            radius_px: Of the disk around each centre.
        """
        steps = disk_steps(radius_px)
        votes = disk_values(accumulated, centres, steps)
        ends = centres.astype(np.float32)
        for axis in (0, 1):
            beyond = self.accumulate(strength * self.beyond[axis])
            moments = votes * steps[:, axis] + disk_values(beyond, centres, steps)
            ends[:, axis] += moments.sum(axis=1) / votes.sum(axis=1)
        return ends


def disk_steps(radius_px: float) -> Pixels:
    """Steps `(M, 2)`, x and y, to the pixels at most `radius_px` away."""
    reach = int(radius_px)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = rows**2 + columns**2 <= radius_px**2
    return np.stack([columns[inside], rows[inside]], axis=1)


def disk_values(image: Map, centres: Pixels, steps: Pixels) -> Map:
    """Values `(N, M)` of `image` at `steps` from each of its pixels `centres`; outside it 0."""
    reach = int(np.abs(steps).max())
    x, y = centres.T[:, :, None] + reach
    values: Map = np.pad(image, reach)[y + steps[:, 1], x + steps[:, 0]]
    return values


def visible_disks(centres: Pixels, size: tuple[int, int], radius_px: float) -> Map:
    """How many pixels `(N,)` of an image are less than `radius_px` from each of `centres`.

    Fewer at its border than in its middle; at least one, the centre itself.
    """
    height, width = size
    reach = int(np.ceil(radius_px))
    rows = np.arange(-reach, reach + 1)
    # How far each row of the disk extends to either side of its centre; below 0 not at all.
    chords = np.ceil(np.sqrt(np.maximum(radius_px**2 - rows**2, 0))).astype(np.intp) - 1
    x, y = centres.T[:, :, None]
    within = np.minimum(x + chords, width - 1) - np.maximum(x - chords, 0) + 1
    within[(y + rows < 0) | (y + rows >= height) | (chords < 0)] = 0
    pixels: Map = within.sum(axis=1).astype(np.float32)
    return pixels
