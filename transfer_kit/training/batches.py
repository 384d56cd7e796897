"""Patches as batches of tensors, numbered so that a resumed training sees the same ones."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from transfer_kit.data.patches import PatchSampler, normalise
from transfer_kit.recipe import TrainSettings

Batch = dict[str, Tensor]
Channels = tuple[float, float, float]


class NumberedPatches(Dataset[Batch]):
    """Patch n is a function of the seed and n alone: see `PatchSampler`."""

    def __init__(self, sampler: PatchSampler, mean: Channels, std: Channels) -> None:
        self.sampler = sampler
        self.mean = mean
        self.std = std

    def __getitem__(self, number: int) -> Batch:
        patch = self.sampler.patch(number)
        return {
            "image": torch.from_numpy(normalise(patch.image, self.mean, self.std)),
            "target": torch.from_numpy(patch.target),
            "weight": torch.from_numpy(patch.weight),
        }


class RoundSampler(Sampler[int]):
    """The patch numbers of one round, the steps between two validations.

    Rounds are Lightning's epochs. A training that goes on after round r draws the numbers it
    would have drawn without the interruption.
    """

    def __init__(self, train: TrainSettings, start_step: int) -> None:
        self.patches_a_round = train.validate_every * train.batch_size
        self.start = start_step * train.batch_size
        self.round = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.round = epoch

    def __iter__(self) -> Iterator[int]:
        start = self.start + self.round * self.patches_a_round
        return iter(range(start, start + self.patches_a_round))

    def __len__(self) -> int:
        return self.patches_a_round


def patch_loader(
    patches: NumberedPatches, train: TrainSettings, *, start_step: int, pinned: bool
) -> DataLoader[Batch]:
    """Batches in the order of their numbers; workers share the decoded images."""
    return DataLoader(
        patches,
        batch_size=train.batch_size,
        sampler=RoundSampler(train, start_step),
        num_workers=train.workers,
        persistent_workers=train.workers > 0,
        pin_memory=pinned,
    )
