"""Milliseconds a training patch of 200² pixels takes on one core, by augmentation.

Run as `python benchmarks/patches.py`; prints one JSON line a figure. The last lines compare the
kit's elastic map with albumentations' own, in time and in how far a spot lies from its point.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.codecs.proximity import ProximityCodec
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.augment import Augmentation, jitter_hed
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.patches import PatchSampler, normalise
from transfer_kit.data.warp import draw_warp

MPP, SIZE = 0.25, 200
GEOMETRY = {
    "rotation_degrees": 180.0,
    "shift_um": 2.0,
    "scale": (0.9, 1.1),
    "elastic_alpha_um": 1.0,
    "elastic_sigma_um": 8.0,
}
COLOURS = {
    "blur_sigma_um": 0.3,
    "jpeg_quality": (60, 100),
    "hed_jitter": 0.1,
    "brightness": 0.1,
    "noise": 0.02,
}
SETTINGS = {
    "none": Augmentation.none(),
    "mirror": Augmentation(),
    "rotation": Augmentation(rotation_degrees=180),
    "scale": Augmentation(scale=(0.9, 1.1)),
    "elastic": Augmentation(elastic_alpha_um=1.0),
    "geometry": Augmentation(**GEOMETRY),
    **{
        name: Augmentation(mirror=False, colour_probability=1.0, **{name: value})
        for name, value in COLOURS.items()
    },
    "everything": Augmentation(**GEOMETRY, **COLOURS, colour_probability=1.0),
}


@dataclass
class Drawn:
    id: str
    pixels: NDArray[np.uint8]
    known: Annotation
    case: str = "case"
    mpp: float = MPP
    image_path: Path = Path("drawn.png")

    def image(self) -> NDArray[np.uint8]:
        return self.pixels

    def annotation(self) -> Annotation:
        return self.known


def drawn_samples(*, instances: bool) -> list[Drawn]:
    """Four images of 1000² pixels with 600 nuclei each, as in MoNuSeg."""
    samples = []
    for number in range(4):
        rng = np.random.default_rng(number)
        pixels = cv2.GaussianBlur(rng.integers(0, 256, (1000, 1000, 3), dtype=np.uint8), (0, 0), 2)
        points = rng.uniform(0, 999, (600, 2)).astype(np.float32)
        labels = np.zeros((1000, 1000), np.int32)
        for k, (x, y) in enumerate(np.rint(points).astype(int).tolist(), start=1):
            cv2.circle(labels, (x, y), 12, k, -1)
        known = Annotation(points, ("",) * 600, labels if instances else None)
        samples.append(Drawn(str(number), pixels, known))
    return samples


def median_ms(work: Callable[[int], object], repeats: int = 60) -> float:
    work(0)
    seconds = []
    for number in range(repeats):
        start = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds))


def report(figure: str, milliseconds: float, **more: float) -> None:
    line = {"figure": figure, "ms": round(milliseconds, 3)}
    line |= {name: round(value, 3) for name, value in more.items()}
    print(json.dumps(line, ensure_ascii=False), flush=True)


def sampler_ms(cache: ImageCache, augmentation: Augmentation) -> float:
    sampler = PatchSampler(
        cache, size_px=SIZE, augmentation=augmentation, seed=0, encode=ProximityCodec().encode
    )
    return median_ms(sampler.patch)


def spot(position: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:side, :side]
    light = 255 * np.exp(-((columns - position[0]) ** 2 + (rows - position[1]) ** 2) / 8)
    return np.repeat(light.astype(np.uint8)[..., None], 3, axis=2)


def distance_to_light(image: NDArray[np.uint8], point: NDArray[np.float32]) -> float:
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    light = image[..., 0].astype(float)
    centre = np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
    return float(np.hypot(*(centre - point)))


def our_elastic(seed: int, image: NDArray[np.uint8], points: NDArray[np.float32]) -> tuple:
    warp = draw_warp(
        Augmentation(elastic_alpha_um=1.5, elastic_sigma_um=6, mirror=False),
        centre=(149.5, 149.5),
        size=(300, 300),
        margin=10,
        mpp=MPP,
        rng=np.random.default_rng(seed),
    )
    return warp.image(image), warp.points(points)


def their_elastic(method: str) -> Callable[[int, NDArray[np.uint8], NDArray[np.float32]], tuple]:
    # Their displacement is uniform noise blurred and multiplied: 450 gives 3 px on average here.
    pipeline = albumentations.Compose(
        [
            albumentations.ElasticTransform(
                alpha=450, sigma=24, keypoint_remapping_method=method, p=1
            )
        ],
        keypoint_params=albumentations.KeypointParams(format="xy", remove_invisible=False),
    )

    def apply(seed: int, image: NDArray[np.uint8], points: NDArray[np.float32]) -> tuple:
        pipeline.set_random_seed(seed)
        found = pipeline(image=image, keypoints=points)
        return found["image"], found["keypoints"]

    return apply


def compare_elastic() -> None:
    rng = np.random.default_rng(0)
    many = rng.uniform(0, 300, (80, 2)).astype(np.float32)
    places = rng.uniform(60, 240, (8, 1, 2)).astype(np.float32)
    for name, apply in (
        ("ours", our_elastic),
        ("albumentations mask", their_elastic("mask")),
        ("albumentations direct", their_elastic("direct")),
    ):
        image = spot(places[0, 0], 300)
        milliseconds = median_ms(lambda n, a=apply, i=image: a(n, i, many), repeats=3)
        moved = [apply(n, spot(place[0], 300), place) for n, place in enumerate(places)]
        errors = [distance_to_light(patch, points[0]) for patch, points in moved]
        report(
            f"elastic 300², 80 points, {name}",
            milliseconds,
            error_px=float(np.mean(errors)),
            worst_px=max(errors),
        )


def main() -> None:
    cv2.setNumThreads(1)
    cache = ImageCache(drawn_samples(instances=False), MPP)
    for name, augmentation in SETTINGS.items():
        milliseconds = sampler_ms(cache, augmentation)
        report(f"patch with {name}", milliseconds, patches_per_second=1e3 / milliseconds)
    with_instances = ImageCache(drawn_samples(instances=True), MPP)
    milliseconds = sampler_ms(with_instances, SETTINGS["everything"])
    report("patch with everything and instances", milliseconds)

    patch = cache.get(0)[0][:SIZE, :SIZE].copy()
    factors, offsets = np.array([1.1, 0.9, 1.0]), np.zeros(3)
    report("hed jitter alone", median_ms(lambda _: jitter_hed(patch, factors, offsets)))
    report("normalise alone", median_ms(lambda _: normalise(patch, (0.5,) * 3, (0.2,) * 3)))
    compare_elastic()


if __name__ == "__main__":
    main()
