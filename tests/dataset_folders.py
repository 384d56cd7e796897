"""Tiny dataset folders that look enough like H&E for the checks to mean something."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import yaml
from PIL import Image

SIDE, DIAMETER_PX, MPP = 200, 22, 0.25
BACKGROUND, NUCLEUS = (225, 165, 195), (95, 60, 130)


def draw_tissue(seed, side=SIDE, count=30):
    """An image with dark discs 5.5 µm wide at 0.25 µm per pixel, and their centres."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), BACKGROUND, np.float32)
    points = np.zeros((0, 2))
    for x, y in rng.uniform((12, 12), (side - 12, side * 0.7), (2000, 2)):
        if len(points) < count and not (np.hypot(*(points - (x, y)).T) <= 24).any():
            points = np.vstack([points, (x, y)])
            cv2.circle(image, (round(x), round(y)), DIAMETER_PX // 2, NUCLEUS, -1)
    coarse = rng.normal(0, 10, (9, 9, 1)).astype(np.float32)
    image += cv2.resize(coarse, (side, side))[..., None] + rng.normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), points.astype(np.float32)


def write_csv(path, points):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x,y\n" + "".join(f"{x:.2f},{y:.2f}\n" for x, y in points))


def write_card(folder, **fields):
    card = {"name": "tiny", "organ": "breast", "stain": "H&E", "mpp": MPP, "licence": "CC0-1.0"}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({**card, **fields}, sort_keys=False))


def write_folder(folder, *, cases=5, per_case=2, seed=0, side=SIDE, card=True, **fields) -> Path:
    """images/c00_0.png …, annotations/c00_0.csv …, and dataset.yaml with the case pattern."""
    (folder / "images").mkdir(parents=True)
    for case in range(cases):
        for k in range(per_case):
            image, points = draw_tissue([seed, case, k], side)
            name = f"c{case:02d}_{k}"
            Image.fromarray(image).save(folder / "images" / f"{name}.png")
            write_csv(folder / "annotations" / f"{name}.csv", points)
    if card:
        write_card(folder, **{"case_pattern": r"(c\d+)_", **fields})
    return folder
