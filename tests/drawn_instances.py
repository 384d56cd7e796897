"""Small instance maps: scattered discs, some of which touch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation


def scattered_discs(
    seed: int,
    *,
    count: int = 30,
    size: tuple[int, int] = (90, 110),
    radius: tuple[int, int] = (3, 9),
) -> NDArray[np.int32]:
    """Discs 1 to `count`, the later over the earlier; each keeps a pixel at least."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    instances = np.zeros(size, np.int32)
    for k in range(1, count + 1):
        y, x = rng.uniform((0, 0), size)
        instances[np.hypot(rows - y, columns - x) <= rng.uniform(*radius)] = k
    present = np.unique(instances[instances > 0])
    return (np.searchsorted(present, instances) + 1).astype(np.int32) * (instances > 0)


def annotated(instances: NDArray[np.int32], classes: tuple[str, ...] = ()) -> Annotation:
    """An annotation of an instance map whose numbers are 1 to N, with centroids as points."""
    count = int(instances.max(initial=0))
    points = [np.argwhere(instances == k)[:, ::-1].mean(axis=0) for k in range(1, count + 1)]
    return Annotation(
        np.array(points, np.float32).reshape(-1, 2), classes or ("",) * count, instances=instances
    )


def same_partition(one: NDArray[np.int32], other: NDArray[np.int32]) -> bool:
    """Whether two instance maps differ in their numbers at most."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs) and bool(
        np.array_equal(one > 0, other > 0)
    )
