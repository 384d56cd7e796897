"""Patches of a target and of other organs, in one numbered order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.patches import Patch, PatchSampler

BLOCK = 120
"""Auxiliary patches within which each source has its share, but for one patch."""

_SOURCE_SEED, _SOURCE_ORDER = 100, 101
"""Beyond the purposes of `PatchSampler`, which derives its numbers from the same seed."""


class MixedPatches(Protocol):
    """Patch n, from 0 on without end, and whether it is the target's."""

    def patch(self, number: int) -> Patch:
        """Patch `number`, a pure function of the seed and the number."""

    def is_target(self, number: int) -> bool:
        """Whether patch `number` is cut from an image of the target."""


class PooledPatches:
    """Naive pooling (paper 002): every image is visited equally often, whose ever it is.

    Args:
        pool: Of all images, the target's first.
        n_target: How many of them are the target's.
    """

    def __init__(self, pool: PatchSampler, n_target: int) -> None:
        self.pool = pool
        self.n_target = n_target

    def patch(self, number: int) -> Patch:
        """The pool's patch `number`."""
        return self.pool.patch(number)

    def is_target(self, number: int) -> bool:
        """Whether patch `number` is cut from an image of the target."""
        return self.pool.image_of(number) < self.n_target


class SharedPatches:
    """Every other patch is the target's, however few images it has; sources share the rest.

    Patch 2 n is patch n of a training on the target alone. A batch of even size holds equally many
    patches of both, one of odd size one more of either.

    Args:
        target: Of the target's images.
        sources: Of each source's images.
        weights: How often each source is drawn, in proportion; above 0.
        seed: Of the order of the sources.
    """

    def __init__(
        self,
        target: PatchSampler,
        sources: Sequence[PatchSampler],
        weights: Sequence[float],
        *,
        seed: int,
    ) -> None:
        self.target = target
        self.sources = tuple(sources)
        self.order = SourceOrder(weights, seed=seed)

    def patch(self, number: int) -> Patch:
        """Patch `number`: the target's next, or the next of the source whose turn it is."""
        place, is_auxiliary = divmod(number, 2)
        if not is_auxiliary:
            return replace(self.target.patch(place), number=number)
        source, before = self.order.at(place)
        return replace(self.sources[source].patch(before), number=number)

    def is_target(self, number: int) -> bool:
        """Whether patch `number` is the target's."""
        return number % 2 == 0


class SourceOrder:
    """Which source each auxiliary patch is of, mixed, in blocks that keep the sources' shares."""

    def __init__(self, weights: Sequence[float], *, seed: int) -> None:
        shares = np.asarray(weights, np.float64)
        self._ends = np.cumsum(shares / shares.sum())
        self.seed = seed
        self._blocks: list[NDArray[np.intp]] = []
        self._before: list[NDArray[np.intp]] = [np.zeros(len(shares), np.intp)]

    def at(self, number: int) -> tuple[int, int]:
        """The source of auxiliary patch `number`, and how many of that source came before."""
        block, place = divmod(number, BLOCK)
        while len(self._blocks) <= block:
            self._draw_block()
        drawn = self._blocks[block]
        source = int(drawn[place])
        return source, int(self._before[block][source] + (drawn[:place] == source).sum())

    def _draw_block(self) -> None:
        """Evenly spaced points under the shares (systematic sampling), shuffled."""
        key = (_SOURCE_ORDER, len(self._blocks))
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        points = (np.arange(BLOCK) + rng.random()) / BLOCK
        last = len(self._ends) - 1
        drawn = rng.permutation(np.searchsorted(self._ends, points, side="right").clip(max=last))
        self._blocks.append(drawn)
        self._before.append(self._before[-1] + np.bincount(drawn, minlength=last + 1))


def seed_of_source(seed: int, source: int) -> int:
    """A seed of its own for each source, so that no two draw the same places and colours."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_SOURCE_SEED, source))
    return int(sequence.generate_state(1, np.uint64)[0])
