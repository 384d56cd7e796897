"""A network over an image of any size, in tiles with a halo, with the maps of the whole."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer_kit.networks.base import Network


def tiled_maps(
    network: Network, image: Tensor, *, tile_px: int = 1024, channels: int
) -> NDArray[np.float32]:
    """The network's maps of one image, equal to those of the undivided image.

    Tiles start at multiples of the network's stride and are read with a halo of half its
    receptive field, so that every kept pixel sees what it would see in the whole image.

    Args:
        network: In evaluation mode, on the image's device.
        image: `(3, H, W)` float32, normalised.
        tile_px: Side of the part of a tile that is kept.
        channels: Maps that the network returns.

    Returns:
        `(channels, H, W)` float32.
    """
    _, height, width = image.shape
    stride = network.stride
    halo = -(-(network.receptive_field // 2) // stride) * stride
    step = max(stride, tile_px // stride * stride)
    maps = np.empty((channels, height, width), np.float32)
    for top in range(0, height, step):
        for left in range(0, width, step):
            rows = slice(max(0, top - halo), min(height, top + step + halo))
            columns = slice(max(0, left - halo), min(width, left + step + halo))
            bottom, right = min(height, top + step), min(width, left + step)
            with torch.inference_mode():
                part = network(image[None, :, rows, columns])[0].float().cpu().numpy()
            maps[:, top:bottom, left:right] = part[
                :,
                top - rows.start : bottom - rows.start,
                left - columns.start : right - columns.start,
            ]
    return maps
