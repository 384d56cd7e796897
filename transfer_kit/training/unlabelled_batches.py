"""Crops of images without labels: as they are for a teacher, in other colours for a student."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from transfer_kit.data.augment import Augmentation
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.patches import PatchSampler, normalise
from transfer_kit.data.sample import Sample
from transfer_kit.detector import Detector
from transfer_kit.recipe import Recipe
from transfer_kit.training.batches import Batch
from transfer_kit.training.stain import stain_estimate, vary_stain


class UnlabelledPatches(Dataset[Batch]):
    """Patch n for teacher and student is a function of the seed and n alone."""

    def __init__(self, sampler: PatchSampler, detector: Detector, margin: int) -> None:
        self.sampler = sampler
        self.mean = detector.card.mean
        self.std = detector.card.std
        self.margin = margin

    def __getitem__(self, number: int) -> Batch:
        patch = self.sampler.patch(number)
        middle = slice(self.margin, -self.margin)
        changed = np.ascontiguousarray(patch.image[middle, middle])
        return {
            "plain": torch.from_numpy(normalise(patch.plain, self.mean, self.std)),
            "image": torch.from_numpy(normalise(changed, self.mean, self.std)),
            "weight": torch.from_numpy(np.ascontiguousarray(patch.weight[:, middle, middle])),
        }


def unlabelled_patches(
    detector: Detector, samples: Sequence[Sample], recipe: Recipe, *, margin: int
) -> UnlabelledPatches:
    """The crops of a self-training, with a margin in pixels that the teacher alone sees."""
    patches = recipe.patches
    sampler = PatchSampler(
        ImageCache(
            samples,
            detector.card.mpp,
            prepare=detector.card.normaliser,
            estimate=stain_estimate(detector.card, recipe),
        ),
        size_px=patches.size_px + 2 * margin,
        augmentation=Augmentation(**recipe.augment.model_dump()),
        seed=recipe.seed,
        encode=lambda annotation, size, mpp, rng: np.zeros((0, *size), np.float32),
        crops_per_image=patches.per_image,
        grid_stride_px=patches.grid_stride_px,
        margin_um=0.0,
        vary_stain=vary_stain(detector.card, samples, recipe),
    )
    return UnlabelledPatches(sampler, detector, margin)
