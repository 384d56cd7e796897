"""One image of an organ, with every nucleus that is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.synthetic.algorithm1 import simulate
from transfer_kit.data.synthetic.glands import crypts, ducts, tubules
from transfer_kit.data.synthetic.ground import ground
from transfer_kit.data.synthetic.ki67 import CLASSES, immunostained, weak_regions
from transfer_kit.data.synthetic.mitosis import CLASS_NAME as MITOSIS
from transfer_kit.data.synthetic.mitosis import Figure, paint, shrunken, with_mitoses
from transfer_kit.data.synthetic.neuroendocrine import nests
from transfer_kit.data.synthetic.noise import Field
from transfer_kit.data.synthetic.nuclei import NucleusPainter
from transfer_kit.data.synthetic.organ import MPP, Organ
from transfer_kit.data.synthetic.organs import BY_NAME
from transfer_kit.data.synthetic.pigment import melanin
from transfer_kit.data.synthetic.scanner import Scanner, scanned
from transfer_kit.data.synthetic.seeds import generator
from transfer_kit.data.synthetic.sheets import (
    fascicles,
    neuropil,
    plates,
    red_cells,
    with_vessels,
)
from transfer_kit.data.synthetic.stain import stained
from transfer_kit.data.synthetic.tissue import Tissue
from transfer_kit.errors import UserError, nearest_hint

ALGORITHM1 = "algorithm1"
ORGANS: tuple[str, ...] = (*BY_NAME, ALGORITHM1)
CLASS_NAME = "nucleus"

TISSUES: dict[str, Callable[[Organ, np.random.Generator, int], Tissue]] = {
    "ducts": ducts,
    "fascicles": fascicles,
    "crypts": crypts,
    "tubules": tubules,
    "plates": plates,
    "neuropil": neuropil,
    "nests": nests,
}
SMALLEST = 96
SMALLEST_COMPONENT = 40  # pixels: crumbs that the cut leaves are no nuclei


def draw(
    organ: str, *, case: int, size: int = 500, seed: int = 0
) -> tuple[NDArray[np.uint8], Annotation]:
    """One image of `organ` at `mpp_of(organ)` µm per pixel, and its nuclei.

    The same arguments give the same bytes, whatever was drawn before. Each case has its own stain,
    scanner, nuclear size and architecture, as if it came from another patient and laboratory.

    Everything that is drawn as a nucleus is annotated, out of focus or not; nuclei of which the
    border of the image leaves less than 30 % are not drawn. The instance map holds the pixels
    inside a nucleus' outline; where two overlap, the upper one owns them. A point is the centroid
    of its nucleus' visible pixels. An immunostained organ has the classes of paper 001, and weak
    region labels of a part of its tumour and of the rest. Of an organ with mitoses they alone are
    annotated, by their centroids: its other nuclei are background, and there is no instance map.

    Args:
        organ: One of `ORGANS`.
        case: Number of the patient, from 0.
        size: Side of the square image, pixels, at least 96.
        seed: Another seed gives other patients.

    Returns:
        The image uint8 `(size, size, 3)`, RGB, and its annotation.

    Raises:
        UserError: `organ` is not known, `case` is negative or `size` too small.
    """
    if organ not in ORGANS:
        raise UserError(f"No organ '{organ}' can be drawn. {nearest_hint(organ, ORGANS)}")
    if case < 0:
        raise UserError(f"A case is numbered from 0, but got {case}; choose a number from 0 on.")
    if size < SMALLEST:
        raise UserError(f"An image of {size} px is too small to draw; choose {SMALLEST} or more.")
    if organ == ALGORITHM1:
        image, instances = _dummy_image(case=case, size=size, seed=seed)
        return image, _annotation(instances)
    return _tissue_image(organ, case=case, size=size, seed=seed)


def mpp_of(organ: str) -> float:
    """µm per pixel of the images of one of `ORGANS`."""
    return BY_NAME[organ].mpp if organ in BY_NAME else MPP


def classes_of(organ: str) -> tuple[str, ...]:
    """Class names of the nuclei of one of `ORGANS`."""
    drawn = BY_NAME.get(organ)
    if drawn is None:
        return (CLASS_NAME,)
    return CLASSES if drawn.ki67 else (MITOSIS,) if drawn.mitoses else (CLASS_NAME,)


def _tissue_image(
    name: str, *, case: int, size: int, seed: int
) -> tuple[NDArray[np.uint8], Annotation]:
    organ = BY_NAME[name]
    size *= organ.pixels

    def stream(part: str) -> np.random.Generator:
        return generator(name, case, seed, part)

    tissue, painter, figures = _settled(organ, name, case=case, size=size, seed=seed)
    canvas = painter.canvas
    points = np.zeros((0, 2), np.float32)
    if organ.mitoses is not None:
        tissue = shrunken(tissue, painter, organ.mitoses, stream("apoptosis"))
        points = paint(canvas, figures, organ.mitoses, stream("figures"))
    rest_h, rest_e, tone = ground(
        tissue, organ, canvas=canvas, shapes=painter.shapes, rng=stream("ground")
    )
    rng = stream("pigment")
    load = organ.melanin * float(rng.beta(1.1, 1.6))
    concentrations: dict[str, Field] = {
        "haematoxylin": rest_h + canvas.haematoxylin,
        "eosin": rest_e,
        "blood": red_cells(tissue.blood, stream("blood"), size) * tissue.void * (1 - canvas.cover),
        "melanin": melanin(canvas, tone, void=tissue.void, load=load, rng=rng),
    }
    annotation = (
        _annotation(_majority(canvas.instances, organ.pixels))
        if organ.mitoses is None
        else Annotation.of_points(points, MITOSIS)
    )
    if organ.ki67 is not None and tissue.tumour is not None:
        brown = immunostained(painter, organ.ki67, stream("ki67"))
        concentrations |= {"haematoxylin": rest_h + brown.haematoxylin, "dab": brown.dab}
        regions = weak_regions(tissue.tumour, scale=organ.pixels, rng=stream("regions"))
        annotation = replace(annotation, classes=brown.classes, region_labels=regions)
    light = _averaged(stained(concentrations, organ.stain, stream("stain")), organ.pixels)
    return scanned(light, Scanner(), stream("scanner")), annotation


def _blocks(field: NDArray[Any], side: int) -> NDArray[Any]:
    """The pixels of each square block last, `(H / side, W / side, side²)` before other axes."""
    height, width = field.shape[0] // side, field.shape[1] // side
    split = field.reshape(height, side, width, side, *field.shape[2:])
    return split.swapaxes(1, 2).reshape(height, width, side * side, *field.shape[2:])


def _averaged(light: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Light as a sensor of larger pixels receives it."""
    means: NDArray[np.float64] = _blocks(light, side).mean(axis=2) if side > 1 else light
    return means


def _majority(instances: NDArray[np.int32], side: int) -> NDArray[np.int32]:
    """The instance in the middle of each block's, sorted: a nucleus where half of it is one."""
    if side == 1:
        return instances
    ordered: NDArray[np.int32] = np.sort(_blocks(instances, side), axis=2)[..., side * side // 2]
    return ordered


def _settled(
    organ: Organ, name: str, *, case: int, size: int, seed: int
) -> tuple[Tissue, NucleusPainter, list[Figure]]:
    """The ground, the nuclei that found a seat in it, and where cells divide."""
    rng = generator(name, case, seed, "tissue")
    tissue = with_vessels(TISSUES[organ.tissue](organ, rng, size), organ, rng)
    figures: list[Figure] = []
    if organ.mitoses is not None:
        rng = generator(name, case, seed, "mitoses")
        tissue, figures = with_mitoses(tissue, organ.mitoses, rng)
    rng = generator(name, case, seed, "nuclei")
    scale = float(np.exp(np.clip(rng.normal(), -2, 2) * organ.size_jitter))
    painter = NucleusPainter(size, organ.populations, scale=scale, rng=rng)
    painter.settle(tissue.seats)
    return tissue, painter, figures


def _dummy_image(*, case: int, size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Algorithm 1 on the nuclei of a drawn breast, in place of the paper's annotated ones."""
    _, painter, _ = _settled(BY_NAME["breast"], ALGORITHM1, case=case, size=size, seed=seed)
    truth = _separated(painter.canvas.instances)
    return simulate(truth, generator(ALGORITHM1, case, seed, "simulation"))


def _separated(instances: NDArray[np.int32]) -> NDArray[np.bool_]:
    """The nuclei as a binary image, with the pixels cut away where two touch, corners included."""
    largest = np.asarray(cv2.dilate(instances.astype(np.float32), np.ones((3, 3))))
    apart = ((instances > 0) & (largest == instances)).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(apart, connectivity=8)
    whole = statistics[labels, cv2.CC_STAT_AREA] >= SMALLEST_COMPONENT
    return np.asarray(whole & (labels > 0), bool)


def _annotation(instances: NDArray[np.int32]) -> Annotation:
    count = int(instances.max())
    flat = instances.ravel()
    areas = np.bincount(flat, minlength=count + 1)[1:]
    rows, columns = np.indices(instances.shape)
    x = np.bincount(flat, columns.ravel(), count + 1)[1:] / areas
    y = np.bincount(flat, rows.ravel(), count + 1)[1:] / areas
    points = np.stack([x, y], axis=1).astype(np.float32)
    return Annotation(points, (CLASS_NAME,) * count, instances=instances)
