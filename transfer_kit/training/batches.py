"""Patches as batches of tensors, numbered so that a resumed training sees the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from transfer_kit.data.augment import Augmentation
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.mixed_patches import (
    MixedPatches,
    PooledPatches,
    SharedPatches,
    seed_of_source,
)
from transfer_kit.data.patches import PatchSampler, normalise
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.recipe import Recipe
from transfer_kit.settings import TrainSettings
from transfer_kit.training import processes
from transfer_kit.training.stain import stain_estimate, vary_stain
from transfer_kit.transfer.mixing import AuxiliarySource

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


@runtime_checkable
class TellsSettled(Protocol):
    """A codec that knows which pixels of a target unannotated nuclei could not change."""

    def settled(
        self, target: NDArray[np.float32], unknown_um: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Those pixels `(H, W)`, where such nuclei are at least `unknown_um` away."""


def patch_sampler(detector: Detector, samples: Sequence[Sample], recipe: Recipe) -> PatchSampler:
    """The crops of a training, with the detector's targets."""
    return _samplers(detector, samples, recipe)(seed=recipe.seed)


def mixed_sampler(
    detector: Detector,
    samples: Sequence[Sample],
    auxiliary: Sequence[AuxiliarySource],
    recipe: Recipe,
) -> MixedPatches:
    """The crops of a training that learns from other sources, too, as `auxiliary.sampling` says.

    Args:
        detector: Whose targets they have; all images are brought to its mpp.
        samples: The target's.
        auxiliary: At least one source.
        recipe: Of the training.
    """
    parts = [tuple(samples), *(source.samples for source in auxiliary)]
    make, seed = _samplers(detector, [s for part in parts for s in part], recipe), recipe.seed
    if recipe.auxiliary.sampling == "size":
        return PooledPatches(make(seed=seed), len(samples))
    ends = list(accumulate(len(part) for part in parts))
    indices = [range(start, end) for start, end in pairwise([0, *ends])]
    return SharedPatches(
        make(seed=seed, indices=indices[0]),
        [
            make(seed=seed_of_source(seed, number), indices=those)
            for number, those in enumerate(indices[1:])
        ],
        [source.weight for source in auxiliary],
        seed=seed,
    )


def _samplers(
    detector: Detector, samples: Sequence[Sample], recipe: Recipe
) -> Callable[..., PatchSampler]:
    """Makes samplers of the same images, which are decoded once; a seed and indices are to come."""
    codec, patches = detector.codec, recipe.patches
    normaliser = detector.card.normaliser
    reach_um = codec.reach_um if isinstance(codec, HasReach) else 0.0
    return partial(
        PatchSampler,
        ImageCache(
            samples,
            detector.card.mpp,
            prepare=normaliser,
            estimate=stain_estimate(detector.card, recipe),
        ),
        size_px=patches.size_px,
        augmentation=Augmentation(**recipe.augment.model_dump()),
        encode=codec.encode,
        crops_per_image=patches.per_image,
        nucleus_fraction=patches.nucleus_fraction,
        grid_stride_px=patches.grid_stride_px,
        margin_um=max(LEAST_MARGIN_UM, reach_um),
        settled=codec.settled if isinstance(codec, TellsSettled) else None,
        vary_stain=vary_stain(detector.card, samples, recipe),
    )


class NumberedPatches(Dataset[Batch]):
    """Patch n is a function of the seed and n alone: see `PatchSampler`."""

    def __init__(self, sampler: PatchSampler | MixedPatches, mean: Channels, std: Channels) -> None:
        self.sampler = sampler
        self.mean = mean
        self.std = std

    def __getitem__(self, number: int) -> Batch:
        patch = self.sampler.patch(number)
        batch = {
            "image": torch.from_numpy(normalise(patch.image, self.mean, self.std)),
            "target": torch.from_numpy(patch.target),
            "weight": torch.from_numpy(patch.weight),
        }
        # Either all of a training have one or none, as its augmentation moves pixels or does not.
        return batch if patch.crop is None else {**batch, "crop": torch.tensor(patch.crop)}


class NumberedMixedPatches(NumberedPatches):
    """Patches of the target and of others, each of which says whose it is."""

    def __init__(self, sampler: MixedPatches, mean: Channels, std: Channels) -> None:
        super().__init__(sampler, mean, std)
        self.mixed = sampler

    def __getitem__(self, number: int) -> Batch:
        is_target = torch.tensor(self.mixed.is_target(number))
        return {**super().__getitem__(number), "is_target": is_target}


def numbered_patches(
    detector: Detector,
    samples: Sequence[Sample],
    auxiliary: Sequence[AuxiliarySource],
    recipe: Recipe,
) -> NumberedPatches:
    """The patches of a training on the target alone, or beside other sources."""
    mean, std = detector.card.mean, detector.card.std
    if not auxiliary:
        return NumberedPatches(patch_sampler(detector, samples, recipe), mean, std)
    return NumberedMixedPatches(mixed_sampler(detector, samples, auxiliary, recipe), mean, std)


class RoundSampler(Sampler[int]):
    """The patch numbers of one round, the steps between two validations.

    Rounds are Lightning's epochs. A training that goes on after round r draws the numbers it
    would have drawn without the interruption. Of several processes each draws its own part of
    every step's numbers, none of them twice, whatever their number is.
    """

    def __init__(
        self, train: TrainSettings, start_step: int, *, process: int = 0, processes: int = 1
    ) -> None:
        self.batch_size = train.batch_size
        self.patches_a_round = train.validate_every * train.batch_size
        self.start = start_step * train.batch_size
        self.own = range(
            process * train.batch_size // processes, (process + 1) * train.batch_size // processes
        )
        self.round = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.round = epoch

    def __iter__(self) -> Iterator[int]:
        start = self.start + self.round * self.patches_a_round
        steps = range(start, start + self.patches_a_round, self.batch_size)
        return (first + place for first in steps for place in self.own)

    def __len__(self) -> int:
        return self.patches_a_round // self.batch_size * len(self.own)


def patch_loader(
    patches: Dataset[Batch], train: TrainSettings, *, start_step: int, pinned: bool
) -> DataLoader[Batch]:
    """This process's batches in the order of their numbers; workers share the decoded images."""
    together = processes.count()
    return DataLoader(
        patches,
        batch_size=train.batch_size // (together * train.accumulate),
        sampler=RoundSampler(train, start_step, process=processes.rank(), processes=together),
        num_workers=train.workers,
        persistent_workers=train.workers > 0,
        pin_memory=pinned,
    )
