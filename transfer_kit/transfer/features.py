"""What a base's network has made of an image just before its last block, at chosen places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.data.patches import normalise
from transfer_kit.data.regions import labelled_mask
from transfer_kit.data.resampling import resample_image, scale_factor
from transfer_kit.detector import Detector, Image
from transfer_kit.errors import NotFiniteMapsError
from transfer_kit.evaluation.counting import inside_labelled
from transfer_kit.networks import Network

Floats = NDArray[np.float64]

BACKGROUND = ""
"""The label of a place that is in no nucleus."""

CLEAR_UM = 5.0
"""Background lies at least this far from every nuclear centre: outside all but giant nuclei."""

POOLED_UM = 2.0
"""Features are means over squares that reach this far from a place: about a small nucleus."""

TILE_PX = 1024


class Places(NamedTuple):
    """Points `(N, 2)` of an image, x and y in pixels, and what is there, N names."""

    points: Points
    labels: list[str]


def draw_places(
    annotation: Annotation,
    size: tuple[int, int],
    mpp: float,
    *,
    by_class: bool,
    most: int,
    rng: np.random.Generator,
) -> Places:
    """Nuclei of an image, and as many places of its background, inside labelled regions alone.

    Background is uniform over the pixels that are outside every annotated instance and at least
    `CLEAR_UM` from every centre; there are fewer such places where there are fewer such pixels.

    Args:
        annotation: Of the whole image.
        size: Height and width in pixels.
        mpp: µm per pixel.
        by_class: Whether nuclei are labelled by their class, those without one left out; else
            all are "nucleus".
        most: Nuclei that are drawn from it at most.
        rng: Draws which nuclei and which background.
    """
    known = inside_labelled(annotation.points, annotation, size)
    names = np.array(annotation.classes if by_class else ["nucleus"] * len(annotation), np.str_)
    nuclei = np.flatnonzero(known & (names != BACKGROUND))
    nuclei = np.sort(rng.permutation(nuclei)[:most])
    free = np.flatnonzero(_background(annotation, size, mpp))
    chosen = np.sort(rng.permutation(free)[: len(nuclei)])
    rows, columns = np.unravel_index(chosen, size)
    background = np.stack([columns, rows], axis=1).astype(np.float32)
    points = np.concatenate([annotation.points[nuclei], background])
    return Places(points, [*names[nuclei].tolist(), *[BACKGROUND] * len(background)])


def _background(annotation: Annotation, size: tuple[int, int], mpp: float) -> NDArray[np.bool_]:
    background = labelled_mask(annotation, size)
    if annotation.instances is not None:
        background &= annotation.instances == 0
    if not len(annotation):
        return background
    centres = np.ones(size, np.uint8)
    limits = np.array(size[::-1]) - 1
    columns, rows = np.clip(np.rint(annotation.points), 0, limits).astype(np.intp).T
    centres[rows, columns] = 0
    distance = cv2.distanceTransform(centres, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    clear: NDArray[np.bool_] = background & (distance * mpp >= CLEAR_UM)
    return clear


def features_at(detector: Detector, image: Image, mpp: float, points: Points) -> Floats:
    """Features `(N, D)` at points of an image, from the map that the last block reads.

    Of a U-Net this is the last decoder's map at full size; of a network that joins several levels
    at its end, the last of them; of a feature pyramid, the finest. Its D channels are averaged
    over a square of `POOLED_UM` to each side, but at least one pixel of the map.

    Args:
        detector: Its network is left as it was.
        image: uint8 RGB `(H, W, 3)`.
        mpp: The image's µm per pixel; it is resampled and normalised as for detection.
        points: x and y in pixels of the image.

    Raises:
        NotFiniteMapsError: the features hold infinities or NaN.
    """
    card = detector.card
    normaliser = card.normaliser
    factor = scale_factor(mpp, card.mpp)
    shown = resample_image(image if normaliser is None else normaliser(image), factor)
    pixels = torch.from_numpy(normalise(shown, card.mean, card.std)).to(detector.device)
    places = (np.asarray(points, np.float64) + 0.5) * factor - 0.5
    places = np.clip(places, 0, np.array(shown.shape[1::-1]) - 1)
    modes = [(module, module.training) for module in detector.network.modules()]
    detector.network.eval()
    try:
        features = _tiled_features(detector.network, pixels, places, POOLED_UM / card.mpp)
    finally:
        for module, was_training in modes:
            module.training = was_training
    if not np.isfinite(features).all():
        raise NotFiniteMapsError(
            f"The features of {card.name} hold infinities or NaN, so its weights are broken; use "
            "an earlier file of it."
        )
    return features


def _tiled_features(network: Network, image: Tensor, places: Floats, reach_px: float) -> Floats:
    """By tiles with a halo, as `tiled_maps`; tiles without a place are passed over."""
    stride = network.stride
    halo = -(-(network.receptive_field // 2) // stride) * stride
    step = max(stride, TILE_PX // stride * stride)
    tile_of = places.astype(np.intp) // step
    parts: list[tuple[NDArray[np.intp], Floats]] = []
    for tile in np.unique(tile_of, axis=0):
        there = np.flatnonzero((tile_of == tile).all(axis=1))
        left, top = (max(0, int(each) * step - halo) for each in tile)
        right, bottom = ((int(each) + 1) * step + halo for each in tile)
        window = image[None, :, top:bottom, left:right]
        maps, per_pixel = _before_last_block(network, window)
        parts.append((there, _pooled(maps, per_pixel, places[there] - (left, top), reach_px)))
    width = parts[0][1].shape[1] if parts else 0
    features = np.zeros((len(places), width))
    for there, values in parts:
        features[there] = values
    return features


def _before_last_block(network: Network, image: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """What the last block reads, `(1, D, h, w)`, and its pixels per image pixel across and down."""
    height, width = image.shape[-2:]
    # Networks pad to their stride themselves; done here, the map's scale is known exactly.
    padded = functional.pad(image, (0, -width % network.stride, 0, -height % network.stride))
    seen: list[Tensor] = []
    _, block = network.blocks[-1]
    hook = block.register_forward_pre_hook(lambda _, inputs: seen.append(_map_in(inputs[0])))
    try:
        with torch.inference_mode():
            network(padded)
    finally:
        hook.remove()
    maps = seen[-1].float()
    return maps, (maps.shape[-1] / padded.shape[-1], maps.shape[-2] / padded.shape[-2])


def _map_in(value: Any) -> Tensor:
    """The one map, the last of several levels, or the finest (first) of a pyramid."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        first: Tensor = next(iter(value.values()))
        return first
    last: Tensor = value[-1]
    return last


def _pooled(
    maps: Tensor, per_pixel: tuple[float, float], places: Floats, reach_px: float
) -> Floats:
    across, down = (2 * round(reach_px * scale) + 1 for scale in per_pixel)
    means = functional.avg_pool2d(
        maps, (down, across), stride=1, padding=(down // 2, across // 2), count_include_pad=False
    )[0]
    limits = np.array([means.shape[2] - 1, means.shape[1] - 1])
    columns, rows = np.clip(((places + 0.5) * per_pixel).astype(np.intp), 0, limits).T
    picked = means[:, torch.from_numpy(rows), torch.from_numpy(columns)]
    values: Floats = picked.T.cpu().numpy().astype(np.float64)
    return values
