"""Patches as batches of tensors, numbered so that a resumed training sees the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from transfer_kit.data.augment import Augmentation
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.patches import PatchSampler, normalise
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.recipe import Recipe, TrainSettings
from transfer_kit.training.stain import stain_estimate, vary_stain

Batch = dict[str, Tensor]
Channels = tuple[float, float, float]

LEAST_MARGIN_UM = 12.0
"""Around crops. Elastic fields are drawn over it, so that it has a part in what a seed gives."""


@runtime_checkable
class HasReach(Protocol):
    """A codec whose targets depend on nuclei outside of the crop."""

    @property
    def reach_um(self) -> float:
        """How far outside a nucleus may lie and still change the target."""


def patch_sampler(detector: Detector, samples: Sequence[Sample], recipe: Recipe) -> PatchSampler:
    """The crops of a training, with the detector's targets."""
    codec, patches = detector.codec, recipe.patches
    normaliser = detector.card.normaliser
    reach_um = codec.reach_um if isinstance(codec, HasReach) else 0.0
    return PatchSampler(
        ImageCache(
            samples,
            detector.card.mpp,
            prepare=normaliser,
            estimate=stain_estimate(detector.card, recipe),
        ),
        size_px=patches.size_px,
        augmentation=Augmentation(**recipe.augment.model_dump()),
        seed=recipe.seed,
        encode=codec.encode,
        crops_per_image=patches.per_image,
        nucleus_fraction=patches.nucleus_fraction,
        grid_stride_px=patches.grid_stride_px,
        margin_um=max(LEAST_MARGIN_UM, reach_um),
        vary_stain=vary_stain(detector.card, samples, recipe),
    )


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
