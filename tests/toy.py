"""Tiny images with dark round nuclei, a tiny detector and a short recipe, made in the test."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from transfer_kit.card import DetectorCard
from transfer_kit.data.annotation import Annotation
from transfer_kit.detector import Detector
from transfer_kit.recipe import Recipe

MPP = 0.5


class ToySample:
    """A sample in memory, with the fields of `transfer_kit.data.sample.Sample`."""

    def __init__(self, number: int, size: int = 96, n_nuclei: int = 20) -> None:
        self.id = f"toy-{number}"
        self.case = f"case-{number}"
        self.mpp = MPP
        self.image_path = Path(f"toy-{number}.png")
        self.size = (size, size)
        self._image, self._points = toy_image(number, size, n_nuclei)

    def image(self):
        return self._image

    def annotation(self):
        return Annotation.of_points(self._points)


def toy_image(seed: int, size: int = 96, n_nuclei: int = 20):
    """Purple discs of 3 µm on pink, and their centres."""
    rng = np.random.default_rng(seed)
    points = [rng.uniform(6, size - 6, 2)]
    while len(points) < n_nuclei:
        point = rng.uniform(6, size - 6, 2)
        if min(np.hypot(*(point - other)) for other in points) > 11:
            points.append(point)
    image = np.full((size, size, 3), (230, 190, 215), np.uint8)
    for x, y in points:
        cv2.circle(image, (round(x), round(y)), 4, (95, 60, 140), -1)
    noise = rng.normal(0, 6, image.shape)
    noisy = np.clip(cv2.GaussianBlur(image, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8)
    return noisy, np.round(np.array(points, np.float32))


def toy_samples(count: int, **options):
    return [ToySample(number, **options) for number in range(count)]


def toy_card(**fields) -> DetectorCard:
    return DetectorCard(
        **{
            "name": "toy",
            "organ": "toy",
            "mpp": MPP,
            "mean": (0.85, 0.7, 0.8),
            "std": (0.15, 0.15, 0.12),
            "network": {"name": "micronet", "options": {"width": 4, "dropout": 0.1}},
            "codec": {"name": "proximity", "options": {}},
            "threshold": 0.5,
            **fields,
        }
    )


def toy_detector(seed: int = 0, **fields) -> Detector:
    return Detector.fresh(toy_card(**fields), seed=seed)


def lively_detector(codec: str, seed: int = 3, **fields) -> Detector:
    """Untrained, with maps that are neither flat nor all alike, so that it finds something."""
    options = fields.pop("options", {})
    card = toy_card(
        network={"name": "fcrn_b", "options": {"width": 3}},
        codec={"name": codec, "options": options},
        **fields,
    )
    detector = Detector.fresh(card, seed=seed)
    maps = torch.from_numpy(detector.maps(toy_image(0, 96, 13)[0]))
    output = [m for m in detector.network.modules() if isinstance(m, torch.nn.Conv2d)][-1]
    factor = 1.5 / maps.std(dim=(1, 2)).clamp_min(1e-6)
    factor[maps.amax((1, 2)) < 2 * maps.mean((1, 2)) - maps.amin((1, 2))] *= -1
    with torch.no_grad():
        output.weight.mul_(factor[:, None, None, None])
        output.bias.sub_(maps.mean(dim=(1, 2))).mul_(factor)
        if codec == "semantic":
            output.bias[0] += 2.0  # more background, so that nuclei are apart
    return detector


def toy_recipe(**fields) -> Recipe:
    recipe = Recipe(
        name="toy",
        target="toy",
        patches={"size_px": 64},
        # Whatever the machine: rounding to 16 bits would blur what is compared.
        train={"steps": 9, "batch_size": 2, "validate_every": 3, "precision": "32-true"},
    )
    return recipe.replaced(**fields)
