"""Estimating, normalising and varying stain, against plain ways to do it.

Run as `python benchmarks/stain.py [IMAGE]`; prints one JSON line a figure: the least CPU
milliseconds of several runs that take turns in one process on one thread, and their ratio. Without
an image it is one of the embedded breast.

Plain is what one writes with NumPy and scikit-image: Macenko over all tissue pixels, Vahadane's
equation by scikit-learn's dictionary learning on 10 000 of them, and `rgb2hed`, a change and
`hed2rgb`; for HEStain, albumentations itself.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import hed2rgb, lab2rgb, rgb2hed, rgb2lab
from sklearn.decomposition import MiniBatchDictionaryLearning

from transfer_kit.data.images import read_image
from transfer_kit.data.stain import (
    ColourDistribution,
    HEStain,
    RandStainNA,
    StainJitter,
    StainNormaliser,
    colour_statistics,
    estimate_stains,
    find_reference,
    optical_density,
    tissue_mask,
)
from transfer_kit.data.stain.hestain import preset_matrices
from transfer_kit.data.synthetic import draw

SIDE, CROP = 500, 200
Image = NDArray[np.uint8]


def cpu_ms(*calls: Callable[[], object], rounds: int) -> list[float]:
    """Least CPU milliseconds of each call, taking turns."""
    least = [float("inf")] * len(calls)
    for _ in range(rounds):
        for index, call in enumerate(calls):
            started = time.process_time()
            call()
            least[index] = min(least[index], 1e3 * (time.process_time() - started))
    return least


def new_images(image: Image) -> Iterator[Image]:
    """The same image with another first pixel each time, so that no estimate is a kept one."""
    number = 0
    while True:
        number += 1
        changed = image.copy()
        changed[0, 0] = (number % 256, number // 256 % 256, 0)
        yield changed


def plain_macenko(image: Image) -> NDArray[np.float64]:
    """All tissue pixels, NumPy's covariance and percentiles."""
    density = optical_density(image)[tissue_mask(image)].astype(float)
    plane = np.linalg.eigh(np.cov(density, rowvar=False))[1][:, [2, 1]]
    along, across = (density @ plane).T
    angles = np.percentile(np.arctan2(across, along), [1, 99])
    return np.stack([np.cos(angles), np.sin(angles)], 1) @ plane.T


def plain_vahadane(image: Image) -> NDArray[np.float64]:
    """Ten thousand tissue pixels in scikit-learn's dictionary learning."""
    density = optical_density(image)[tissue_mask(image)].astype(float)
    rng = np.random.default_rng(0)
    density = density[rng.choice(len(density), min(len(density), 10_000), replace=False)]
    learning = MiniBatchDictionaryLearning(
        2, alpha=0.1, max_iter=10, batch_size=512, fit_algorithm="cd", random_state=0,
        positive_code=True, positive_dict=True,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return learning.fit(density).components_


def plain_normalisation(image: Image) -> Image:
    """Macenko, pseudo-inverse, scaling and exponential over all pixels."""
    vectors = plain_macenko(image)
    density = optical_density(image).reshape(-1, 3).astype(float)
    amounts = density @ np.linalg.pinv(vectors)
    target = find_reference("macenko").macenko
    assert target is not None
    amounts *= np.asarray(target.strengths) / np.percentile(amounts, 99, axis=0)
    light = 256 * np.exp(-amounts @ target.matrix) - 1
    return np.clip(light, 0, 255).astype(np.uint8).reshape(image.shape)


def plain_reinhard(image: Image) -> Image:
    """Through scikit-image's LAB."""
    lab = rgb2lab(image)
    moved = (lab - lab.mean((0, 1))) / lab.std((0, 1)) * [9, 5, 5] + [77, 10, -7]
    return (255 * lab2rgb(moved)).astype(np.uint8)


def plain_jitter(image: Image, rng: np.random.Generator) -> Image:
    """Through scikit-image's HED."""
    hed = rgb2hed(image) * rng.uniform(0.8, 1.2, 3) + rng.uniform(-0.02, 0.02, 3)
    return (255 * hed2rgb(hed)).astype(np.uint8)


def plain_virtual(
    image: Image, distribution: ColourDistribution, rng: np.random.Generator
) -> Image:
    """RandStainNA's arithmetic in OpenCV's LAB."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(float)
    target = distribution.draw(rng)
    moved = (lab - lab.mean((0, 1))) / lab.std((0, 1)) * target.deviation + target.mean
    return cv2.cvtColor(np.clip(moved, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)


def albumentations_one(image: Image, rng: np.random.Generator) -> Image:
    """What its `HEStain` calls."""
    from albumentations.augmentations.pixel.functional import apply_he_stain_augmentation

    matrix = preset_matrices()[2]
    factors, offsets = rng.uniform(0.7, 1.3, 2), rng.uniform(-0.2, 0.2, 2)
    return apply_he_stain_augmentation(image, matrix, factors, offsets, False)


def report(
    what: str, side: int, goal_ms: float | None, ours: Callable[[], object],
    plain: Callable[[], object], plain_is: str, rounds: int = 9,
) -> None:  # fmt: skip
    """Print one line."""
    ours_ms, plain_ms = cpu_ms(ours, plain, rounds=rounds)
    figure = {
        "benchmark": "stain",
        "what": what,
        "side_px": side,
        "cpu_ms": round(ours_ms, 2),
        "plain": plain_is,
        "plain_cpu_ms": round(plain_ms, 2),
        "ratio": round(plain_ms / ours_ms, 1),
        "goal_cpu_ms": goal_ms,
    }
    print(json.dumps(figure), flush=True)


def main() -> None:
    """Print a line for each estimate, normalisation and augmentation."""
    cv2.setNumThreads(1)
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    image = draw("breast", case=0, size=SIDE, seed=0)[0] if given is None else read_image(given)
    image = np.ascontiguousarray(image[:SIDE, :SIDE])
    fresh = new_images(image)
    for method, goal, plain, plain_is in (
        ("macenko", 5.0, plain_macenko, "all pixels in NumPy"),
        ("vahadane", 15.0, plain_vahadane, "scikit-learn, 10 000 pixels"),
    ):
        report(
            f"estimate by {method}", SIDE, goal,
            lambda: estimate_stains(next(fresh), method),  # noqa: B023
            lambda: plain(image), plain_is, rounds=5,  # noqa: B023
        )  # fmt: skip
    for method, plain in (("macenko", plain_normalisation), ("reinhard", plain_reinhard)):
        normaliser = StainNormaliser(method, find_reference("tnbc"))
        report(
            f"normalise by {method}", SIDE, None, lambda: normaliser(next(fresh)),  # noqa: B023
            lambda: plain(image), "NumPy and scikit-image", rounds=5,  # noqa: B023
        )  # fmt: skip
    crop, rng = np.ascontiguousarray(image[:CROP, :CROP]), np.random.default_rng(0)
    own, statistics = estimate_stains(image), colour_statistics(crop)
    distribution = ColourDistribution.of([statistics, statistics])
    hed = "rgb2hed and hed2rgb"
    for name, change, plain, plain_is in (
        ("jitter", StainJitter(hue_degrees=3), plain_jitter, hed),
        ("jitter without glass", StainJitter(background=False), plain_jitter, hed),
        ("hestain", HEStain(), albumentations_one, "albumentations"),
        ("randstainna", RandStainNA(distribution),
         lambda crop, rng: plain_virtual(crop, distribution, rng), "NumPy and OpenCV"),
    ):  # fmt: skip
        report(
            name, CROP, 1.5, lambda: change(crop, rng, own),  # noqa: B023
            lambda: plain(crop, rng), plain_is, rounds=25,  # noqa: B023
        )  # fmt: skip


if __name__ == "__main__":
    main()
