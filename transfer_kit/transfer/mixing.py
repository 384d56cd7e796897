"""Mixing: learning from other organs' labels beside the target's, L = γ·L_T + L_A (paper 002)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transfer_kit.data.dataset import Dataset
from transfer_kit.data.organ_figures import OrganFigures, organ_distance
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError

LEAST_APART = 0.05
"""Of two organs, so that one that is like the target does not take all crops."""


@dataclass(frozen=True, eq=False)
class AuxiliarySource:
    """Images that a training learns from beside the target's.

    Attributes:
        name: An organ, a dataset or a folder, or what is replayed.
        samples: Its images that train.
        datasets: What they are parts of.
        weight: How often its crops are drawn against those of the other sources, above 0; nothing
            is weighted where sampling is by size.
        is_replay: Whether these are images that the base has learned from.
    """

    name: str
    samples: tuple[Sample, ...]
    datasets: tuple[Dataset, ...] = ()
    weight: float = 1.0
    is_replay: bool = False


def balanced_loss(losses: Tensor, is_target: Tensor, gamma: float) -> Tensor:
    """(γ Σ_target l + Σ_auxiliary l) / B: L = γ·L_T + L_A over one batch, a scalar.

    "Training with auxiliary datasets" in paper 002. With γ = 1 it is the mean of the pool, bit by
    bit: naive pooling.

    Args:
        losses: Each image's loss `(B,)`.
        is_target: Which images are the target's, bool `(B,)`.
        gamma: Weight of the target's, above 0.
    """
    weights = torch.where(is_target, gamma, 1.0).to(losses.dtype)
    return (losses * weights).mean()


def losses_apart(losses: Tensor, is_target: Tensor) -> Tensor:
    """Sum and count of the target's losses, and sum and count of the others', without γ: `(4,)`."""
    losses = losses.detach().float()
    of_target = is_target.float()
    parts = (of_target, 1 - of_target)
    return torch.stack([total for part in parts for total in ((losses * part).sum(), part.sum())])


def nearness(target: OrganFigures, sources: Sequence[OrganFigures]) -> list[float]:
    """How near sources are to a target, one number each: a source twice as far has half of it.

    The distance is √(stain² + ln²(diameters) + ln²(neighbours)): the stain distance of
    `organ_distance`, in natural optical density, and the logarithms of the ratios of nuclear
    diameters and of distances from nuclei to their neighbours. All are differences of natural
    logarithms, of light and of lengths. What one of the sources cannot tell is left out for all,
    diameters also where they were measured in unlike ways.

    Raises:
        UserError: nothing can be told of all of them.
    """
    found = [organ_distance(source, target) for source in sources]
    same_way = len({figures.diameter_from for figures in (target, *sources)}) == 1
    terms = [
        [each.stain for each in found],
        [_log(each.diameter_ratio) if same_way else None for each in found],
        [_log(each.neighbour_ratio) for each in found],
    ]
    known = np.array([term for term in terms if None not in term], np.float64)
    if not len(known):
        names = ", ".join(figures.name for figures in (target, *sources))
        raise UserError(
            f"auxiliary.sampling: how near they are cannot be told, since {names} have neither "
            "tissue nor nuclei, all of them, that could be compared; choose even or size."
        )
    apart = np.linalg.norm(known, axis=0)
    weights: list[float] = (1 / np.maximum(apart, LEAST_APART)).tolist()
    return weights


def _log(ratio: float | None) -> float | None:
    return math.log(ratio) if ratio else None
